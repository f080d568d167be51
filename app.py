"""Starts the app: flags -> Engine -> build_app -> launch."""

import argparse
import logging
import os
import threading
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads make small models crawl
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_VERBOSITY": "error"}


def main() -> None:
    """Serve until interrupted; exit with status 2 and one sentence on what the person can mend."""
    parser = argparse.ArgumentParser(description="HuViDPO Lab: from a prompt to a clip, in your browser.")
    parser.add_argument("--profile", help="full or miniature; chosen by the hardware when not given")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the clips and their database")
    flags = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("GRADIO_TEMP_DIR", str(flags.data.resolve() / "cache"))
    from huvidpo_core.engine import Engine, choose_profile
    from huvidpo_core.errors import UserError
    from huvidpo_core.ui import build_app, launch_options

    try:
        app = build_app(engine := Engine(choose_profile(flags.profile), flags.data))
        app.launch(server_name=flags.host, server_port=flags.port, prevent_thread_lock=True, **launch_options(engine))
        engine.push_votes()
    except UserError as error:
        parser.exit(2, f"{error}\n")
    except (OSError, OverflowError):
        parser.exit(2, f"Port {flags.port} on {flags.host} cannot be opened; is it in use? Try another --port.\n")
    threading.Thread(target=engine.warm_up, daemon=True, name="warm-up").start()
    app.block_thread()


if __name__ == "__main__":
    main()
