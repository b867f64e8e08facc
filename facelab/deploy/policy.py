"""`facelab.policy/1` (TOML): what a candidate must meet. An unknown key is an error with a near-name hint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, ValidationError, field_validator

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.records import meets
from facelab.core.text_files import read_text
from facelab.core.toml_files import loads_toml
from facelab.deploy.manifest import Strict, explain

SCHEMA = "facelab.policy/1"
CHECKS = (
    "integrity",
    "fingerprint",
    "golden_outputs",
    "int8",
    "accuracy",
    "thresholds",
    "model_size",
    "latency",
    "memory",
)
"""Every check, in the order of the table."""
MAX_POLICY = 1 << 20


def _budget(value: str) -> str:
    try:
        meets(0.0, value)
    except BadInputError:
        raise ValueError(
            f"{value!r} is not a budget; write an operator and a number, such as '>= 0.98'"
        ) from None
    return value


Budget = Annotated[str, AfterValidator(_budget)]


class Section(Strict):
    """What every check has: `enabled = false` leaves it out of the table."""

    enabled: bool = True


class IntegrityPolicy(Section):
    """`bundle_hash` pins the bundle that was agreed on (8 characters or more), `public_key` who must have signed it."""

    bundle_hash: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{8,64}$")
    public_key: str | None = Field(default=None, pattern=r"^RW[A-Za-z0-9+/]{54}$")


class FingerprintPolicy(Section):
    """Verdicts that pass, the worst severity of a mismatch that still does, interface differences that are intended."""

    accept: list[Literal["identical", "equivalent"]] = Field(
        default=["identical", "equivalent"], min_length=1
    )
    tolerate: Literal["none", "benign", "warn"] = "none"
    allow: list[Literal["batch_axis", "layout", "dtype"]] = Field(default_factory=list)


class GoldenPolicy(Section):
    """How far outputs may be off: shares of their range, steps of integers, share of probes with the same top class."""

    tolerance: PositiveFloat = 1e-3
    steps: int = Field(default=1, ge=0)
    program_tolerance: PositiveFloat = 0.05
    program_steps: int = Field(default=8, ge=0)
    top1: float = Field(default=0.95, ge=0, le=1)
    seconds: float = Field(default=1.5, gt=0, le=600)


class Int8Policy(Section):
    """Budgets of a quantised model against its float model: shares 0…1, changes in points.

    `recall` is of a detector's float boxes, `ap_ratio` and `counts_ratio` against labels, `tar_ratio` of an embedder's
    pairs. `cosine` counts where no answers (classes or boxes) were compared, or where a policy states it. `judged` is 0
    where the network's kind was unknown, so that nothing but the cosine was looked at.
    """

    accuracy_ratio: Budget = ">= 0.99"
    agreement: Budget = ">= 0.98"
    worst_class_change: Budget = ">= -2"
    ece_change: Budget = "<= 1"
    size_ratio: Budget = "<= 0.30"
    cosine: Budget = ">= 0.98"
    recall: Budget = ">= 0.98"
    ap_ratio: Budget = ">= 0.98"
    counts_ratio: Budget = ">= 0.95"
    tar_ratio: Budget = ">= 0.98"
    judged: Budget = ">= 1"


class AccuracyPolicy(Section):
    """Which figures must not be worse than the baseline's (globs), and the largest relative drop whatever the noise."""

    metrics: list[str] = Field(
        default=[
            *("*accuracy*", "*f1*", "*ece*", "*ap*", "*tar*", "*agreement*", "*cosine*"),
            *("*apcer*", "*bpcer*", "acer"),
        ],
        min_length=1,
    )
    largest_drop: float | None = Field(default=None, ge=0, le=1)


class ThresholdPolicy(Section):
    """Thresholds must be chosen on other data than they are reported on; there is nothing to set."""


class DevicePolicy(Strict):
    """Budgets of the target device; one that is not stated is not checked. `measure` times the model here where no
    measurement of the device is given, which says little about another processor."""

    name: str = "target device"
    latency_p50_ms: PositiveFloat | None = None
    latency_p90_ms: PositiveFloat | None = None
    latency_p99_ms: PositiveFloat | None = None
    memory_mb: PositiveFloat | None = None
    model_mb: PositiveFloat | None = None
    measure: bool = False
    threads: int = Field(default=1, ge=1, le=256)


class Policy(Strict):
    """The whole file. `skipping` says whether a check may lack data; `required` names those that never may."""

    schema_: Literal["facelab.policy/1"] = Field(alias="schema")
    name: str = "policy"
    skipping: Literal["allow", "forbid"] = "allow"
    required: list[str] = Field(default_factory=lambda: ["integrity", "fingerprint"])
    integrity: IntegrityPolicy = Field(default_factory=IntegrityPolicy)
    fingerprint: FingerprintPolicy = Field(default_factory=FingerprintPolicy)
    golden_outputs: GoldenPolicy = Field(default_factory=GoldenPolicy)
    int8: Int8Policy = Field(default_factory=Int8Policy)
    accuracy: AccuracyPolicy = Field(default_factory=AccuracyPolicy)
    thresholds: ThresholdPolicy = Field(default_factory=ThresholdPolicy)
    device: DevicePolicy = Field(default_factory=DevicePolicy)

    @field_validator("required")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in CHECKS:
                raise ValueError(
                    f"no check is named {name!r}{did_you_mean(name, CHECKS)} (known: {', '.join(CHECKS)})"
                )
        return names

    def may_skip(self, check: str) -> bool:
        """Return whether a check without data lets the candidate pass."""
        return self.skipping == "allow" and check not in self.required

    def enabled(self, check: str) -> bool:
        """Return whether the policy asks for a check at all."""
        section = getattr(self, check, None)
        return section.enabled if isinstance(section, Section) else True


DEFAULT = """# facelab.policy/1: what a candidate must meet before it is deployed.
schema = "facelab.policy/1"
name = "default"

# A check without data is skipped. "forbid" makes every skipped check a failure; `required` names those that always are.
skipping = "allow"
required = ["integrity", "fingerprint"]

[integrity]
# bundle_hash = "0123abcd"     # the bundle that was agreed on (`facelab bundle` prints it)
# public_key = "RW…"           # the minisign key that must have signed the bundle's manifest

[fingerprint]
accept = ["identical", "equivalent"]
tolerate = "none"              # "benign" or "warn": let a mismatch pass whose causes are no worse than this
allow = []                     # interface differences that are intended: "batch_axis", "layout", "dtype"

[golden_outputs]
tolerance = 0.001              # the bundle's model, run here: share of the outputs' range
steps = 1                      # the same for integer outputs, in steps
program_tolerance = 0.05       # the program's own outputs (--outputs): preprocessing and runtime together
program_steps = 8
top1 = 0.95                    # share of probes on which the program's largest output is the golden one
seconds = 1.5                  # stop running probes after this long

[int8]                         # against the float model, as measured by `facelab quantize`
accuracy_ratio = ">= 0.99"
agreement = ">= 0.98"
worst_class_change = ">= -2"   # points of recall
ece_change = "<= 1"            # points
size_ratio = "<= 0.30"
# cosine = ">= 0.98"           # mean cosine to the float output; judged beside classes or boxes only where it is stated
recall = ">= 0.98"             # detectors: share of the float model's boxes
ap_ratio = ">= 0.98"           # detectors with labelled boxes: share of the float AP
counts_ratio = ">= 0.95"       # detectors with labels: share of the images counted exactly
tar_ratio = ">= 0.98"          # embedders with pairs: share of the float TAR at the same FAR
judged = ">= 1"                # 0: a network of unknown kind, of which only the cosine was looked at

[accuracy]                     # against --baseline: worse beyond noise fails (disjoint 95 % intervals)
metrics = ["*accuracy*", "*f1*", "*ece*", "*ap*", "*tar*", "*agreement*", "*cosine*", "*apcer*", "*bpcer*", "acer"]
# largest_drop = 0.01          # and never more than this, whatever the noise (share of the baseline's figure)

[thresholds]                   # chosen on other data than they are reported on
enabled = true

[device]                       # budgets of the target; none is checked unless it is stated
name = "target device"
# latency_p90_ms = 20.0
# memory_mb = 64.0             # peak resident memory of the process
# model_mb = 4.0
measure = false                # true: time the model on this machine where no --device measurement is given
threads = 1
"""


def default() -> Policy:
    """Return the policy that ships."""
    return parse(DEFAULT, "default policy")


def load(path: str | os.PathLike) -> Policy:
    """Read and check a policy file. Raises BadInputError naming the key, with the nearest known one."""
    path = Path(path)
    fix = "facelab gate --print-policy > policy.toml"
    return parse(read_text(path, "policy", max_bytes=MAX_POLICY, fix=fix), path)


def parse(text: str, where: object) -> Policy:
    """Check the text of a policy; see `load`.

    Examples
    --------
    >>> parse('schema = "facelab.policy/1"\\nskiping = "forbid"', "policy.toml")
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: the policy has an unknown key 'skiping'; did you mean 'skipping'?
      where:    policy.toml
      expected: schema, name, skipping, required, integrity, fingerprint, golden_outputs, int8, accuracy, thresholds, \
device
      fix:      correct or remove it
    """
    try:
        return Policy.model_validate(loads_toml(text, "policy", where=where))
    except ValidationError as e:
        raise explain(e, Policy, where, "policy") from None
