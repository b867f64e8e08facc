"""`facelab eval …`: detectors, embedders and liveness by the published protocols."""

import click

from facelab.commands.common import LazyGroup

VERBS = {
    "wider": "WIDER FACE average precision from prediction files",
    "verification": "ten-fold accuracy, TAR at FAR, EER from embeddings or pairs",
    "detector": "run a detector over images and score it",
    "embedder": "run an embedder over pairs and score it",
    "identification": "rank-k, FPIR and FNIR of an embedder among many people (1:N)",
    "threshold": "choose a threshold on some people and report it on others",
    "liveness": "APCER per attack kind, BPCER and ACER of liveness models",
}


@click.group(
    cls=LazyGroup,
    commands_help=VERBS,
    prefix="eval_",
    epilog="Example: facelab eval wider --predictions runs/yunet --ground-truth data/wider/ground_truth",
)
def command() -> None:
    """Evaluate detectors, embedders and liveness by the published protocols, and say how sure the figures are."""
