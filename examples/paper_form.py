"""A-LQR as the paper has it, beside the relative plan that Steersman runs by default.

The paper prescribes the feature's value at every generated token, `s_t = lambda |c_t|`, and feeds
back what it measures. The plan adds the schedule that the closed loop amounts to on the averaged
plant, whatever the token's own feature is.
"""

import steersman as sm
from steersman.windtunnel import behaviour, load, measure

model, tokenizer = load()
truth = behaviour("truthfulness")
steering = sm.fit(
    model, tokenizer, truth.pairs(seed=0, count=100), method="a-lqr", q=0.1, r=1.0, qf=0.1
)

ways = {
    "unsteered": None,
    "paper, lambda 1": steering.attach(model, lambda_=1.0, tokens="last"),
    "absolute, target 1": steering.attach(model, 1.0, reference="absolute", tokens="last"),
    "relative, measured": steering.attach(model, 1.0, execution="feedback"),
    "relative plan": steering.attach(model, 1.0),
}
print(f"\n{'':20}{truth.headline:>22}{'grammatical':>14}{'perplexity':>12}")
for name, attached in ways.items():
    found = measure(model, tokenizer, truth, attached, seed=1, count=100, knowledge=20)
    score = found.scores[truth.headline]
    print(
        f"{name:20}{score.mean:14.2f} +- {score.se:.2f}"
        f"{found.grammaticality.mean:14.2f}{found.perplexity.mean:12.2f}"
    )
