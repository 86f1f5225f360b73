from .topk_error import TopKError

__all__ = ['TopKError']
