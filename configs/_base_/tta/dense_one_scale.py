# Table 3: dense evaluation at a single Q, which is S or the middle of [S_min, S_max].
tta_model = dict(type='vgg_mm.PaperTTA', protocol='dense')
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales='one'),
    dict(type='PackInputs'),
]
