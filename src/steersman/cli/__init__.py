"""The command line: one command a file, in the words of the Python interface.

Exit codes: 0 all is well, 1 something a person can put right (the message says what), 2 a command
that cannot be understood, 130 interrupted.

Commands import what they need when they run: none waits for, or fails by, what another needs.
"""

from collections.abc import Callable

import typer

from steersman.cli.bound import bound
from steersman.cli.calibrate import calibrate
from steersman.cli.compare import compare
from steersman.cli.compile import compile_
from steersman.cli.demo import demo
from steersman.cli.doctor import doctor
from steersman.cli.eval import eval_
from steersman.cli.export import export
from steersman.cli.fit import fit
from steersman.cli.generate import generate
from steersman.cli.group import SteersmanGroup, options_of_all
from steersman.cli.import_ import import_
from steersman.cli.linearity import linearity
from steersman.cli.methods import methods
from steersman.cli.report import report
from steersman.cli.reproduce import reproduce
from steersman.cli.serve import serve

app = typer.Typer(
    name="steersman",
    cls=SteersmanGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Steer language models in closed loop with optimal control.",
    epilog="Start here: [bold]steersman demo[/bold]",
)
app.callback()(options_of_all)
_EXAMPLES: dict[Callable[..., None], str] = {
    demo: "steersman demo --out demo",
    doctor: "steersman doctor meta-llama/Llama-3.2-1B",
    fit: "steersman fit gpt2 pairs.jsonl --out calm --method a-lqr",
    calibrate: "steersman calibrate gpt2 calm --prompts prompts.txt --kl 0.05",
    bound: "steersman bound gpt2 --steering calm --prompts prompts.txt --out bound.json",
    generate: "steersman generate gpt2 'I think that' --steering calm --target 1.0 --compare",
    report: "steersman report gpt2 --steering calm --prompt 'I think that' --out report.html",
    eval_: "steersman eval toxicity --model windtunnel --steering calm --out calm-toxicity",
    compare: "steersman compare --task toxicity --model windtunnel --methods all --budget kl=0.1 "
    "--out toxicity",
    linearity: "steersman linearity gpt2 --out gpt2.html",
    compile_: "steersman compile calm --model gpt2 --tokens all --out gpt2-calm",
    reproduce: "steersman reproduce alqr toxicity --model windtunnel --count 40 --out toxicity",
    import_: "steersman import calm.gguf --model gpt2 --out calm",
    export: "steersman export calm calm.gguf",
    serve: "steersman serve gpt2 --steering calm=./calm",
    methods: "steersman methods",
}
for _command, _example in _EXAMPLES.items():
    app.command(_command.__name__.rstrip("_"), epilog=f"Example: [bold]{_example}[/bold]")(_command)


def main() -> None:
    """The console entry point."""
    app()


__all__ = ["app", "main"]
