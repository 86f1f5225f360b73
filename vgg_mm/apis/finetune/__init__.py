from .run import finetune

__all__ = ['finetune']
