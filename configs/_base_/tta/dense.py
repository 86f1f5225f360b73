# Table 4, and Table 5's first column: dense evaluation at several Q.
_base_ = './dense_multi_crop.py'

tta_model = dict(protocol='dense')
