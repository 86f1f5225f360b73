# Not in the paper: the four corner crops, the centre crop and their flips, at several Q.
_base_ = './dense_multi_crop.py'

tta_model = dict(protocol='multi_crop', grid='five')
