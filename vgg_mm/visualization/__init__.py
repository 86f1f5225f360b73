from .box_visualizer import BoxVisualizer

__all__ = ['BoxVisualizer']
