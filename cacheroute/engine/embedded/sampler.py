"""From logits to the next token: greedy, or drawn from what temperature and top_p leave. Knows no sequences."""

import math

import torch


class Sampler:
    """One request's choices. A request with a seed draws the same tokens from the same logits every time.

    Raises ValueError for a temperature below 0 or a top_p outside (0, 1].
    """

    def __init__(self, temperature: float = 1.0, top_p: float = 1.0, seed: int | None = None) -> None:
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"temperature is {temperature}, it must be 0 or more")
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p is {top_p}, it must be above 0 and at most 1")
        self._temperature = temperature
        self._top_p = top_p
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed % 2**64)  # OpenAI's seed is any integer

    def sample(self, logits: torch.Tensor) -> int:
        """The next token from its logits, float32 `[vocab]`; ties of a greedy choice go to the lowest id."""
        if self._temperature == 0:
            return int(logits.argmax())
        probabilities = torch.softmax((logits - logits.max()) / self._temperature, dim=-1)
        if self._top_p == 1:
            return int(torch.multinomial(probabilities, 1, generator=self._generator))
        ordered, tokens = probabilities.sort(descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        nucleus = ordered.masked_fill_(before >= self._top_p, 0.0)
        nucleus[0] = max(float(nucleus[0]), torch.finfo(nucleus.dtype).tiny)  # the likeliest always stays
        return int(tokens[torch.multinomial(nucleus, 1, generator=self._generator)])


def logprob(logits: torch.Tensor, token: int) -> float:
    """The natural logarithm of the token's probability under the model itself, before any temperature."""
    return float(torch.log_softmax(logits, dim=-1)[token])
