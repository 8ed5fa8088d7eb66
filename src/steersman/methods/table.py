"""The table of methods, as the documentation shows it."""

from collections.abc import Iterable

from steersman.methods.base import Method

HEAD = (
    *("method", "from", "direction", "setpoint", "controller", "reads and acts", "tokens"),
    *("needs", "verified against", "moves the wind tunnel"),
)
_TOKENS = {
    "last": "from the prompt's last one on",
    "all": "all",
    "generated&matching": "generated, of the kinds read",
}
_PLANT = {"none": "", "products": "a plant, by products", "matrices": "a plant, by its matrices"}


def row(method: type[Method]) -> tuple[str, ...]:
    """What the table says of one method, in the order of `HEAD`."""
    about = method.about
    trained = "training" if about.trained else ""
    aligned = "aligned pairs" if method.aligned else ""
    sparse = "a sparse autoencoder" if method.needs_autoencoder else ""
    again = "examples again at each block" if about.rereads else ""
    needs = [one for one in (_PLANT[method.plant], aligned, sparse, again, trained) if one]
    return (
        *(f"`{method.name}`", about.paper, about.direction, about.setpoint, about.controller),
        *(about.site, _TOKENS.get(method.tokens, method.tokens)),
        *(", ".join(needs) or "examples", about.verified),
        f"no: {about.unmoved}" if about.unmoved else "yes",
    )


def markdown(methods: Iterable[type[Method]]) -> str:
    """All methods as a Markdown table, which ends in a line break."""
    rows = [HEAD, ("---",) * len(HEAD), *map(row, methods)]
    return "".join(f"| {' | '.join(one)} |\n" for one in rows)
