# The three columns of Table 5 in one pass; the results have a row for each protocol.
_base_ = './dense_multi_crop.py'

tta_model = dict(protocol=['dense', 'multi_crop', 'dense+multi_crop'])
