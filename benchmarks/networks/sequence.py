"""Recurrent networks."""

from __future__ import annotations

from layercc.layers import GRU, LSTM, Dense, Input, Model, Sequential


def lstm() -> Model:
    """A classifier of 32 steps of 256 features: two LSTM layers of 1024 units."""
    return Sequential(
        [
            Input((32, 256)),
            LSTM(1024, return_sequences=True),
            LSTM(1024),
            Dense(10, activation="softmax"),
        ],
        name="lstm",
    )


def gru() -> Model:
    """The same of gated recurrent units."""
    return Sequential(
        [
            Input((32, 256)),
            GRU(1024, return_sequences=True),
            GRU(1024),
            Dense(10, activation="softmax"),
        ],
        name="gru",
    )
