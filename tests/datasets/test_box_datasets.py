"""Data sets with boxes: both layouts, and errors in annotations."""

import json

import cv2
import numpy as np
import pytest

from vgg_mm.datasets import CocoBoxes, ImageNetBoxes, LoadImage

WIDTH, HEIGHT = 60, 40


def write_image(path, size=(HEIGHT, WIDTH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path.with_suffix('.png')), np.full((*size, 3), 99, np.uint8))
    path.with_suffix('.png').rename(path)  # the format is recognised by content


def coco(folder):
    """Two images of two classes, one also with a crowd box; returns the annotations."""
    for name in ('a.jpg', 'b.jpg'):
        write_image(folder / 'photos' / name)
    images = [
        dict(id=7, file_name='a.jpg', width=WIDTH, height=HEIGHT),
        dict(id=8, file_name='b.jpg', width=WIDTH, height=HEIGHT),
    ]
    annotations = [
        dict(id=1, image_id=7, category_id=5, bbox=[10, 5, 20, 30]),
        dict(id=2, image_id=8, category_id=3, bbox=[0, 0, 60, 40]),
        dict(id=3, image_id=8, category_id=3, bbox=[1, 2, 3, 4]),
        dict(id=4, image_id=8, category_id=5, bbox=[1, 2, 3, 4], iscrowd=1),
    ]
    categories = [dict(id=5, name='cat'), dict(id=3, name='dog')]
    return dict(images=images, annotations=annotations, categories=categories)


def read_coco(folder, content, **kwargs):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / 'boxes.json').write_text(text)
    return CocoBoxes('boxes.json', data_root=str(folder), data_prefix='photos', **kwargs)


def xml(name='n02', box=(10, 5, 29, 34), size=(WIDTH, HEIGHT), objects=None):
    objects = [(name, box)] if objects is None else objects
    parts = [
        f'<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>'
        f'<ymax>{y2}</ymax></bndbox></object>'
        for name, (x1, y1, x2, y2) in objects
    ]
    return (
        f'<annotation><filename>%s</filename><size><width>{size[0]}</width><height>{size[1]}'
        f'</height><depth>3</depth></size>{"".join(parts)}</annotation>'
    )


def imagenet(folder):
    """Training images of two classes, three of them with boxes, and a validation image."""
    data, notes = (folder / 'ILSVRC' / part / 'CLS-LOC' for part in ('Data', 'Annotations'))
    for name in ('train/n02/n02_1', 'train/n02/n02_2', 'train/n01/n01_1', 'val/val_1'):
        write_image(data / f'{name}.JPEG')
        wordnet_id = 'n01' if 'n01' in name or 'val' in name else 'n02'
        (notes / name).parent.mkdir(parents=True, exist_ok=True)
        (notes / f'{name}.xml').write_text(xml(wordnet_id))
    write_image(data / 'train/n01/n01_without_boxes.JPEG')
    return notes


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    """Where the file records no sizes they are those of the images."""
    content = coco(tmp_path)
    for image in content['images']:
        del image['width'], image['height']
    (tmp_path / 'photos' / 'a.jpg').write_bytes(b'no image')
    with pytest.raises(ValueError, match='the image cannot be read: .*a.jpg'):
        read_coco(tmp_path, content)


def test_the_way_out_of_a_bad_box_is_said_once(tmp_path):
    content = coco(tmp_path)
    content['annotations'][0]['bbox'] = [10, 5, 0, 0]
    with pytest.raises(ValueError, match='a box without area') as error:
        read_coco(tmp_path, content)
    assert str(error.value).count("on_error='skip'") == 1


def test_image_added_later_is_found(tmp_path):
    content = coco(tmp_path)
    (tmp_path / 'photos' / 'b.jpg').rename(tmp_path / 'b.jpg')
    assert len(read_coco(tmp_path, content, on_error='skip')) == 1
    (tmp_path / 'b.jpg').rename(tmp_path / 'photos' / 'b.jpg')
    assert len(read_coco(tmp_path, content)) == 2


def test_coco_files(tmp_path):
    data = read_coco(tmp_path, coco(tmp_path))
    assert data.metainfo['classes'] == ('dog', 'cat')  # by id
    assert [data[i]['gt_label'] for i in (0, 1)] == [1, 0]
    assert data[0]['gt_bboxes'].tolist() == [[10, 5, 30, 35]]
    assert data[1]['gt_bboxes'].tolist() == [[0, 0, 60, 40], [1, 2, 4, 6]]
    assert data[0]['gt_bboxes'].dtype == np.float32
    assert data[0]['img_path'].endswith('photos/a.jpg')
    assert LoadImage()(data[0])['img'].shape == (HEIGHT, WIDTH, 3)
    other = read_coco(tmp_path, coco(tmp_path), classes=['cat', 'dog'])
    assert [other[i]['gt_label'] for i in (0, 1)] == [0, 1]


def test_what_other_programs_write(tmp_path):
    """Sizes of 0 or null, two categories of one name, ids of two types, a byte order mark."""
    content = coco(tmp_path)
    content['images'][0].update(width=0, height=0)
    content['images'][1].update(width=None, height=None)
    content['categories'] += [dict(id='x', name='cat'), dict(id=77, name='dog')]
    data = read_coco(tmp_path, content)
    assert data.metainfo['classes'] == ('dog', 'cat')
    assert [data[i]['gt_label'] for i in (0, 1)] == [1, 0]
    path = tmp_path / 'boxes.json'
    path.write_bytes('\ufeff'.encode() + path.read_bytes())
    assert len(CocoBoxes(str(path), data_prefix=str(tmp_path / 'photos'))) == 2


def test_imagenets_layout(tmp_path, capsys):
    imagenet(tmp_path)
    train = ImageNetBoxes('train', data_root=str(tmp_path))
    assert train.metainfo['classes'] == ('n01', 'n02')
    assert [train[i]['gt_label'] for i in range(len(train))] == [0, 1, 1]
    # The XML file has the first and last pixel, so the right and bottom edges are one more.
    assert train[1]['gt_bboxes'].tolist() == [[10, 5, 30, 35]]
    assert '1 images have no boxes and are not used' in capsys.readouterr().out
    val = ImageNetBoxes('val', data_root=str(tmp_path), test_mode=True)
    assert len(val) == 1 and val[0]['gt_label'] == 0
    assert val[0]['img_path'].endswith('Data/CLS-LOC/val/val_1.JPEG')
    assert LoadImage()(val[0])['img'].shape == (HEIGHT, WIDTH, 3)


def test_imagenets_classes_from_the_synsets(tmp_path):
    imagenet(tmp_path)
    (tmp_path / 'LOC_synset_mapping.txt').write_text('n03 newt\nn01 tench, Tinca\nn02 goldfish\n')
    val = ImageNetBoxes('val', data_root=str(tmp_path))
    assert val.metainfo['classes'] == ('n01', 'n02', 'n03') and val[0]['gt_label'] == 0
    given = ImageNetBoxes('val', data_root=str(tmp_path), classes=['n02', 'n01'])
    assert given[0]['gt_label'] == 1


def test_several_classes(tmp_path):
    content = coco(tmp_path)
    content['annotations'][2]['category_id'] = 5
    with pytest.raises(ValueError, match="b.jpg: boxes of 2 classes, cat, dog; several_classes='l"):
        read_coco(tmp_path, content)
    assert len(read_coco(tmp_path, content, on_error='skip')) == 1
    largest = read_coco(tmp_path, content, several_classes='largest')
    assert largest[1]['gt_label'] == 0 and largest[1]['gt_bboxes'].tolist() == [[0, 0, 60, 40]]


def changed(part, index, **values):
    def change(content):
        content[part][index].update(values)

    return change


def without(part, index, key):
    def change(content):
        del content[part][index][key]

    return change


#: (error in image b, message, boxes of each image that are left with on_error='skip').
BAD_COCO = [
    (lambda c: c['annotations'].pop(1) and c['annotations'].pop(1), 'b.jpg: no box', [1]),
    (changed('annotations', 1, bbox=[5, 5, 0, 9]), 'b.jpg: a box without area: 5 5 5 14', [1, 1]),
    (changed('annotations', 1, bbox=[5, 5, -4, 9]), 'b.jpg: a box without area: 5 5 1 14', [1, 1]),
    (
        changed('annotations', 1, bbox=[0, 0, 62, 40]),
        'b.jpg: a box outside of the image of 60x40: 0 0 62 40',
        [1, 1],
    ),
    (changed('annotations', 1, bbox=[-2, 0, 9, 9]), 'outside of the image of 60x40: -2 0', [1, 1]),
    (changed('annotations', 1, bbox=[500, 0, 9, 9]), 'outside of the image of 60x40', [1, 1]),
    (changed('annotations', 1, bbox=[float('nan'), 0, 9, 9]), 'a box without area: nan', [1, 1]),
    (changed('annotations', 1, bbox=[1, 2, 3]), r'b.jpg: not a box: \[1, 2, 3\]', [1]),
    (changed('annotations', 1, bbox='all'), "b.jpg: not a box: 'all'", [1]),
    (
        changed('annotations', 1, category_id=9),
        "unknown class 'category 9'; available: dog",
        [1, 1],
    ),
    (changed('annotations', 1, image_id=99), 'annotation 2 is of image 99, which is not', [1, 1]),
    (changed('images', 1, file_name='c.jpg'), 'c.jpg: image not found: .*photos/c.jpg', [1]),
    (changed('images', 1, width=30), 'a box outside of the image of 30x40: 0 0 60 40', [1, 1]),
]


@pytest.mark.parametrize('change, message, left', BAD_COCO)
def test_bad_coco_annotations(tmp_path, change, message, left):
    content = coco(tmp_path)
    change(content)
    with pytest.raises(ValueError, match=message) as error:
        read_coco(tmp_path, content)
    assert '\n' not in str(error.value) and 'boxes.json' in str(error.value)
    data = read_coco(tmp_path, content, on_error='skip')
    assert [len(data[i]['gt_bboxes']) for i in range(len(data))] == left
    assert len(data.skipped) == 1


@pytest.mark.parametrize(
    'content, message',
    [
        ('{"images": [', "boxes.json is no annotation file of COCO's form: JSONDecodeError"),
        ('[]', "boxes.json is no annotation file of COCO's form: it has no list 'images'"),
        ('{"images": [], "annotations": {}}', "it has no list 'annotations'"),
        (without('images', 0, 'file_name'), r"1 of \d images have no 'file_name' .the file's path"),
        (without('annotations', 0, 'bbox'), r"1 of \d annotations have no 'bbox' .x, y, width and"),
        (
            lambda c: c['images'][1].update(id=[1]),
            r'boxes.json: number 1 of images has id=\[1\]; expected a number',
        ),
        (lambda c: c.update(images=[], annotations=[]), 'none of 0 annotations in .*boxes.json'),
    ],
)
@pytest.mark.parametrize('on_error', ['raise', 'skip'])
def test_bad_coco_files(tmp_path, content, message, on_error):
    if callable(content):
        change, content = content, coco(tmp_path)
        change(content)
    with pytest.raises(ValueError, match=message) as error:
        read_coco(tmp_path, content, on_error=on_error)
    assert '\n' not in str(error.value)


def overwrite(name, text):
    return lambda notes: (notes / f'{name}.xml').write_text(text)


def move_image(notes):
    image = notes.parents[1] / 'Data/CLS-LOC/train/n02/n02_2.JPEG'
    image.rename(image.with_name('n02_3.JPEG'))


N02 = 'train/n02/n02_2'

BAD_XML = [
    (overwrite(N02, xml(objects=[])), 'n02_2.xml: no box'),
    (overwrite(N02, xml(box=(10, 5, 10, 9))), 'n02_2.xml: a box without area: 10 5 10 10'),
    (overwrite(N02, xml(box=(20, 5, 10, 9))), 'n02_2.xml: a box without area'),
    (overwrite(N02, xml(box=(0, 0, 61, 9))), 'n02_2.xml: a box outside of the image of 60x40'),
    (overwrite(N02, xml('n09')), "n02_2.xml: unknown class 'n09'; available: n01, n02"),
    (
        overwrite(N02, xml(objects=[('n01', (0, 0, 9, 9)), ('n02', (0, 0, 19, 9))])),
        'n02_2.xml: boxes of 2 classes, n01, n02',
    ),
    (overwrite(N02, '<annotation><size>'), 'n02_2.xml is no XML file'),
    (overwrite(N02, '<annotation></annotation>'), 'n02_2.xml is no annotation of an image'),
    (overwrite(N02, xml(size=('wide', 40))), 'n02_2.xml is no annotation of an image'),
    (overwrite(N02, xml().replace('xmax', 'right')), 'an object has no bndbox/xmax'),
    (move_image, 'n02_2.xml: image not found: .*n02_2.JPEG'),
]


@pytest.mark.parametrize('change, message', BAD_XML)
def test_bad_xml_files(tmp_path, change, message):
    change(imagenet(tmp_path))
    with pytest.raises(ValueError, match=message) as error:
        ImageNetBoxes('train', data_root=str(tmp_path))
    assert '\n' not in str(error.value) and "on_error='skip'" in str(error.value)
    data = ImageNetBoxes('train', data_root=str(tmp_path), on_error='skip')
    assert len(data) == 2 and len(data.skipped) >= 1
    assert any(message.split(':')[0].split('.')[0] in reason for reason in data.skipped)


def test_validation_image_without_boxes_is_an_error(tmp_path):
    notes = imagenet(tmp_path)
    write_image(notes.parents[1] / 'Data/CLS-LOC/val/val_2.JPEG')
    with pytest.raises(ValueError, match='val_2.JPEG has no annotation: .*val_2.xml is missing'):
        ImageNetBoxes('val', data_root=str(tmp_path), test_mode=True)


def test_unused_options_are_rejected(tmp_path):
    imagenet(tmp_path)
    for option, message in (
        ('ann_file', 'ann_file is not used; split and annotation_folder say where'),
        ('data_prefix', 'data_prefix is not used; split and image_folder say where'),
    ):
        with pytest.raises(ValueError, match=message):
            ImageNetBoxes('train', data_root=str(tmp_path), **{option: 'elsewhere'})
    with pytest.raises(ValueError, match='filter_cfg is not used; on_error and several_classes'):
        ImageNetBoxes('train', data_root=str(tmp_path), filter_cfg=dict(min_size=32))


def test_boxes_up_to_a_pixel_outside_are_clipped(tmp_path):
    content = coco(tmp_path)
    content['annotations'][1]['bbox'] = [-1, 0, 62, 41]
    assert read_coco(tmp_path, content)[1]['gt_bboxes'][0].tolist() == [0, 0, 60, 40]


@pytest.mark.parametrize('box', [[60, 0, 1, 9], [-1, 0, 1, 9]])
def test_boxes_just_outside_are_not_clipped_to_nothing(box, tmp_path):
    content = coco(tmp_path)
    content['annotations'][1]['bbox'] = box
    with pytest.raises(ValueError, match='a box without area in the image of 60x40'):
        read_coco(tmp_path, content)


@pytest.mark.parametrize('on_error', ['raise', 'mark', 'skip'])
def test_annotation_with_another_image_size(tmp_path, on_error):
    """Found when the image is read, and treated like an image that cannot be read."""
    notes = imagenet(tmp_path)
    (notes / f'{N02}.xml').write_text(xml(size=(HEIGHT, WIDTH)))
    info = ImageNetBoxes('train', data_root=str(tmp_path))[2]
    file = dict(skipped_file=str(tmp_path / 'skipped.txt')) if on_error == 'skip' else {}
    load = LoadImage(on_error=on_error, **file)
    message = 'n02_2.JPEG is 60x40, its annotation says 40x60: its boxes are meant for another'
    if on_error == 'raise':
        with pytest.raises(ValueError, match=message) as error:
            load(info)
        assert '\n' not in str(error.value)
    elif on_error == 'mark':
        assert message in load(info)['load_error']
    else:
        assert load(info) is None
        assert message in (tmp_path / 'skipped.txt').read_text()


def test_without_size_the_header_is_read(tmp_path):
    content = coco(tmp_path)
    del content['images'][1]['width']
    content['annotations'][1]['bbox'] = [0, 0, 70, 9]
    with pytest.raises(ValueError, match='outside of the image of 60x40'):
        read_coco(tmp_path, content)


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda d: CocoBoxes('none.json', data_root=d), "no annotation file '.*none.json'.*DATA_R"),
        (lambda d: CocoBoxes('x', on_error='ignore'), "CocoBoxes: on_error must be 'raise' or 'sk"),
        (lambda d: CocoBoxes('x', several_classes='all'), "several_classes must be 'error' or 'l"),
        (lambda d: ImageNetBoxes('train', data_root=d), "no folder '.*Data/CLS-LOC/train'"),
        (lambda d: ImageNetBoxes(''), "split must be 'train' or 'val', got ''"),
    ],
)
def test_wrong_arguments_are_one_clear_line(tmp_path, make, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        make(str(tmp_path))
    assert '\n' not in str(error.value)


def test_no_classes(tmp_path):
    imagenet(tmp_path)
    for part in ('Data', 'Annotations'):
        root = tmp_path / 'ILSVRC' / part / 'CLS-LOC'
        (root / 'train').rename(root / 'training')
    with pytest.raises(FileNotFoundError, match='no classes: .*give classes=FILE'):
        ImageNetBoxes('val', data_root=str(tmp_path))


@pytest.mark.parametrize('name, images, boxes', [('animals', 200, 277), ('blood_cells', 291, None)])
def test_real_files(real_data, name, images, boxes):
    folder = real_data / name
    data = CocoBoxes(
        'train.json', data_root=str(folder), data_prefix='train', several_classes='largest'
    )
    assert len(data) == images and not data.skipped
    if boxes is not None:
        assert sum(len(data[i]['gt_bboxes']) for i in range(images)) == boxes
