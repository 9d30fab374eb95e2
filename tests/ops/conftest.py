"""What the tests of the tensor functions share."""

import pytest
import torch


@pytest.fixture
def rng() -> torch.Generator:
    """A random source that starts alike in every test."""
    return torch.Generator().manual_seed(0)
