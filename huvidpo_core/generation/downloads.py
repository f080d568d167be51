"""Models on the Hugging Face Hub: whether they are on this machine, and fetching them once the person has agreed."""

import logging

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from huvidpo_core.errors import UserError

log = logging.getLogger(__name__)

# Half-precision and training copies, other frameworks' weights, pictures: nothing here reads them.
IGNORE = ("*.msgpack", "*.onnx*", "*.ot", "*.ckpt", "*.png", "*.jpg", "*nonema*", "*openvino*", "*flax*")


def is_present(name: str) -> bool:
    """Whether a model is complete in the local cache; asks nobody."""
    try:
        snapshot_download(name, ignore_patterns=list(IGNORE), local_files_only=True)
    except (LocalEntryNotFoundError, OSError):
        return False
    return True


def fetch(name: str) -> None:
    """Download a model into the cache; an interrupted download is continued. Raises UserError when it fails."""
    try:
        log.info("downloading %s", name)
        snapshot_download(name, ignore_patterns=list(IGNORE))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"The model {name} could not be downloaded ({type(error).__name__}). Check the network and, for a gated "
            "model, that you are logged in with `hf auth login`; then try again: what arrived is kept."
        ) from error
