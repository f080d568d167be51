"""Models on the Hugging Face Hub: whether they are on this machine, and fetching them once the person has agreed."""

import logging

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from huvidpo_core.config import Download
from huvidpo_core.errors import UserError
from huvidpo_core.files import is_full

log = logging.getLogger(__name__)


def is_present(download: Download) -> bool:
    """Whether every file of it is in the local cache; asks nobody."""
    return all(isinstance(try_to_load_from_cache(download.name, file), str) for file in download.files)


def fetch(download: Download) -> None:
    """Fetch its files into the cache; an interrupted download is continued. Raises UserError when it fails."""
    try:
        for file in download.files:
            log.info("fetching %s of %s", file, download.name)
            hf_hub_download(download.name, file)
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        if isinstance(error, OSError) and is_full(error):
            raise UserError(
                f"The disk is full: the model {download.name} needs {download.gigabytes} GB. Free some space, then try "
                "again: what arrived is kept."
            ) from error
        if constants.is_offline_mode():
            raise UserError(
                f"The model {download.name} is not on this machine, and nothing is fetched, for HF_HUB_OFFLINE is set. "
                "Unset it, or name a folder in assets/profiles."
            ) from error
        raise UserError(
            f"The model {download.name} could not be downloaded ({type(error).__name__}). Check the network and, for a "
            "gated model, that you are logged in with `hf auth login`; then try again: what arrived is kept."
        ) from error
