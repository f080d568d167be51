"""Starts the app: flags -> Engine -> build_app -> launch."""

import logging
import os

from huvidpo_core.flags import Parser, add_machine

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads make small models crawl
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_VERBOSITY": "error"}
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def main() -> None:
    """Serve until interrupted; exit with status 2 and one sentence on what the person can mend."""
    parser = Parser(description="HuViDPO Lab: from a prompt to a clip, in your browser.")
    add_machine(parser)
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    flags = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("GRADIO_TEMP_DIR", str(flags.data.resolve() / "cache"))
    from huvidpo_core.engine import Engine, UserError, choose_profile
    from huvidpo_core.ui import build_app, launch_options

    try:
        engine = Engine(choose_profile(flags.profile, flags.device), flags.data, flags.device, plan=flags.plan)
        app = build_app(engine.check_machine(), local=flags.host in THIS_MACHINE)
        app.launch(server_name=flags.host, server_port=flags.port, prevent_thread_lock=True, **launch_options(engine))
        engine.push_votes()
    except UserError as error:
        parser.exit(2, f"{error}\n")
    except (OSError, OverflowError):
        parser.exit(2, f"{flags.host}:{flags.port} cannot be opened; is it in use? Try another --port or --host.\n")
    engine.trainings.follow_all()
    engine.warm_up_meanwhile()
    app.block_thread()


if __name__ == "__main__":
    main()
