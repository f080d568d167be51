"""What `media` asks of ffmpeg: the program imageio-ffmpeg brings, run on one local file and nothing it points to."""

import logging
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg

from huvidpo_core.errors import UserError

logger = logging.getLogger(__name__)

TIMEOUT = 300  # seconds for one run

# Containers only: a playlist or a concat script could make ffmpeg open other files, or addresses.
_CONTAINERS = "mov,matroska,webm,gif,avi,mpeg,mpegts,ogg,asf,flv,apng"


def run(arguments: list[str], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg with `data` as its standard input.

    Raises:
        UserError: it takes longer than `TIMEOUT`. A failure is left to the caller, in `.returncode` and `.stderr`.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats", *arguments]
    try:
        result = subprocess.run(command, input=data, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"The video took more than {TIMEOUT} seconds; please use a shorter one.") from error
    logger.debug("ffmpeg %s -> %d\n%s", arguments, result.returncode, result.stderr.decode(errors="replace"))
    return result


def source(path: Path) -> list[str]:
    """The input options for a file; an absolute name after `file:` is never taken for an option or an address."""
    return ["-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, "-i", f"file:{path.resolve()}"]


def probe(path: Path) -> tuple[float, int, int]:
    """A video's frames a second, width and height, from what ffmpeg prints about the file.

    Raises:
        UserError: not a video.
    """
    printed = run(source(path)).stderr.decode(errors="replace")
    stream = re.search(r"Stream #.*: Video: .*", printed)
    size = stream and re.search(r", (\d+)x(\d+)", stream[0])
    rate = stream and (re.search(r", ([\d.]+) fps", stream[0]) or re.search(r", ([\d.]+) tbr", stream[0]))
    if not size or not rate:
        raise UserError(f"{path.name} is not a video that can be read (MP4, WebM, MOV, MKV, AVI, GIF).")
    return float(rate[1]), int(size[1]), int(size[2])


def comment(path: Path) -> str:
    """The `comment` tag, empty if there is none; read from ffmpeg's dump, `key=value` lines with backslash escapes."""
    dump = run([*source(path), "-f", "ffmetadata", "-"]).stdout.decode(errors="replace")
    found = re.search(r"^comment=((?:\\.|[^\\\n])*)", dump, re.MULTILINE | re.DOTALL)
    return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL) if found else ""
