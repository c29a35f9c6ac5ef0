from tests.training.conftest import base

__all__ = ["base"]
