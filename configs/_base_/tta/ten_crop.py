# Not the paper's: the corners and the centre with their flips, at several Q.
_base_ = './dense_multi_crop.py'

tta_model = dict(protocol='multi_crop', grid='five')
