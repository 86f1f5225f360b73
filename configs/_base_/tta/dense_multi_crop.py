# The last column of Table 5, and the default: the average of dense and multi-crop evaluation at
# several Q, which depend on the training scale S (Section 4.2).
tta_model = dict(type='vgg_mm.PaperTTA', protocol='dense+multi_crop')
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales='several'),
    dict(type='PackInputs'),
]
