# Table 5's last column and the default: dense and multi-crop evaluation, averaged, at several Q.
# Which Q follows from the training scale S (Section 4.2).
tta_model = dict(type='vgg_mm.PaperTTA', protocol='dense+multi_crop')
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales='several'),
    dict(type='PackInputs'),
]
