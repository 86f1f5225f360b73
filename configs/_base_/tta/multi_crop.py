# The second column of Table 5: 50 crops at each of several Q.
_base_ = './dense_multi_crop.py'

tta_model = dict(protocol='multi_crop')
