"""Verify and test a bundle as a slot would, without serving it."""

from __future__ import annotations

import os

from facelab.deploy import policy as policies
from facelab.deploy.policy import Policy
from facelab.serving.releases._adapters import task_adapter
from facelab.serving.releases._release import load
from facelab.serving.releases._snapshot import Snapshot
from facelab.serving.releases._store import ReleaseStore


def tested(
    bundle: str | os.PathLike, store: ReleaseStore, *, policy: Policy | None = None
) -> Snapshot:
    """Copy a bundle into the store, verify it, load it and run its golden self-test; nothing becomes current.

    Parameters
    ----------
    bundle : path
        The bundle's folder, or a link to it.
    store : ReleaseStore
        Where the copy goes, and whose trust decides about signatures.
    policy : Policy, optional
        Budgets; facelab's default policy otherwise.

    Returns
    -------
    Snapshot
        The release, loaded and tested.

    Raises
    ------
    IntegrityError, CheckFailedError, BadInputError
        What is wrong with the bundle; the audit notes the refusal.
    """
    try:
        found = store.admit(bundle)
        load(
            found.folder,
            found.manifest,
            policy=policy or policies.default(),
            threads=1,
            adapter=task_adapter,
            signer=found.signer,
        ).close()
    except Exception as e:
        store.refuse(bundle, getattr(e, "what", str(e)))
        raise
    return found
