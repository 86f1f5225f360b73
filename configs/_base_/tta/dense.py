# Table 4 and the first column of Table 5: dense evaluation at several Q.
_base_ = './dense_multi_crop.py'

tta_model = dict(protocol='dense')
