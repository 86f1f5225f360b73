# Table 5's three columns from one pass: a row for each protocol.
_base_ = './dense_multi_crop.py'

tta_model = dict(protocol=['dense', 'multi_crop', 'dense+multi_crop'])
