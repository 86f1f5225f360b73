# The two commands: `make demo` and `make test`. Both create what they need.
PYTHON ?= python3
VENV ?= .venv
VENV_OPENMMLAB ?= .venv-openmmlab
VENV_DOWNSTREAM ?= .venv-downstream
VENV_DEV ?= .venv-dev
VENV_APP ?= .venv-app
# Of `make bench`: a folder of JPEG photos, at any depth.
DATA ?= photos

# Files of tests side by side, on a core each.
PYTEST = -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 15

.PHONY: demo test test-slow test-openmmlab test-docs test-app bench lint docs typecheck dist clean python-version

demo: $(VENV)/.installed
	$(VENV)/bin/python tools/demo.py

test: $(VENV)/.installed $(VENV_DOWNSTREAM)/.installed lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python $(PYTEST) -m 'not slow'
	OMP_NUM_THREADS=1 $(VENV_DOWNSTREAM)/bin/python $(PYTEST) -m 'not slow' tests/downstream

# The tests that take a minute or more each.
test-slow: $(VENV)/.installed $(VENV_DOWNSTREAM)/.installed
	OMP_NUM_THREADS=1 $(VENV)/bin/python $(PYTEST) -m slow
	OMP_NUM_THREADS=1 $(VENV_DOWNSTREAM)/bin/python $(PYTEST) -m slow tests/downstream

# The second stack: OpenMMLab's own packages in place of the maintained fork's. Left out is what the
# stack makes no difference to, and what takes a minute or more a test.
test-openmmlab: $(VENV_OPENMMLAB)/.installed
	OMP_NUM_THREADS=1 $(VENV_OPENMMLAB)/bin/python $(PYTEST) -m 'not slow' \
	  --ignore tests/docs --ignore tests/studies --ignore tests/benchmarks --ignore tests/kernels

# Every performance measurement, one after the other, then a page of them: for hours, on a machine
# that does nothing else.
bench: $(VENV)/.installed
	@test -d '$(DATA)' || { echo "no folder $(DATA): make bench DATA=FOLDER, JPEG photos" >&2; exit 1; }
	$(VENV)/bin/python benchmarks/start_up.py
	$(VENV)/bin/python benchmarks/jitter.py '$(DATA)'
	$(VENV)/bin/python benchmarks/memory.py '$(DATA)'
	$(VENV)/bin/python benchmarks/growth.py
	$(VENV)/bin/python benchmarks/conv_head_speed.py
	$(VENV)/bin/python benchmarks/lrn_speed.py
	$(VENV)/bin/python benchmarks/guards.py --iterations 450
	$(VENV)/bin/python benchmarks/model_speed.py '$(DATA)'
	$(VENV)/bin/python benchmarks/model_speed.py '$(DATA)' --amp
	$(VENV)/bin/python benchmarks/model_speed.py '$(DATA)' --memory --batch 64
	$(VENV)/bin/python benchmarks/test_protocols.py '$(DATA)' --afresh
	$(VENV)/bin/python benchmarks/test_protocols.py '$(DATA)' --afresh --amp
	$(VENV)/bin/python benchmarks/page.py

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# The site, in build/site. A warning, as of a link that leads nowhere, is an error.
docs: $(VENV_DEV)/.installed
	$(VENV_DEV)/bin/sphinx-build -W --keep-going -q -b html -c docs . build/site
	@echo "build/site/index.html"

# What needs Sphinx, which `make test` does without.
test-docs: docs
	$(VENV_DEV)/bin/python -m pytest tests/docs/test_site.py

# What needs Gradio, and for the visits of a browser Chromium.
test-app: $(VENV_APP)/.installed
	OMP_NUM_THREADS=1 $(VENV_APP)/bin/python -m pytest tests/app

typecheck: $(VENV_DEV)/.installed
	$(VENV_DEV)/bin/mypy

# Wheel and sdist, in dist.
dist: $(VENV_DEV)/.installed
	$(VENV_DEV)/bin/python -m build

# $(call install,FOLDER,CONSTRAINTS,STACK): a virtual environment with this checkout in it.
define install
$(PYTHON) -m venv $(1)
$(1)/bin/pip install --disable-pip-version-check -q -c constraints/$(2).txt -e '.[$(3),tests]' \
  -r studies/requirements.txt
endef

$(VENV)/.installed: pyproject.toml setup.py requirements/*.txt studies/requirements.txt \
  constraints/*.txt | python-version
	$(call install,$(VENV),ci,onedl)
	touch $@

# What both stacks share, above all torch with CUDA, six gigabytes, is linked and stands on the disk
# once; where files cannot be linked, pip installs it once more.
$(VENV_OPENMMLAB)/.installed: $(VENV)/.installed
	$(PYTHON) -m venv $(VENV_OPENMMLAB)
	cp -alf $(VENV)/lib/python*/site-packages $$(echo $(VENV_OPENMMLAB)/lib/python*) || true
	$(VENV_OPENMMLAB)/bin/python -m pip uninstall --disable-pip-version-check -q -y \
	  onedl-mmcv onedl-mmengine onedl-mmpretrain
	$(call install,$(VENV_OPENMMLAB),openmmlab,openmmlab)
	touch $@

# $(call on_top,FOLDER): a virtual environment on top of $(VENV), which stays as it is. The first line
# of the .pth lets everything in $(VENV) be found, after what is in FOLDER.
define on_top
$(PYTHON) -m venv $(1)
packages='import sysconfig; print(sysconfig.get_path("purelib"))'; \
  base=$$($(VENV)/bin/python -c "$$packages"); \
  echo "import site; site.addsitedir('$$base')" \
  > $$($(1)/bin/python -c "$$packages")/base.pth
endef

# MMDetection and MMSegmentation on top of $(VENV), which stays without them: what needs no detector
# is tested without, and MMPretrain imports MMDetection wherever it is.
$(VENV_DOWNSTREAM)/.installed: $(VENV)/.installed requirements/downstream.txt constraints/*.txt
	$(call on_top,$(VENV_DOWNSTREAM))
	$(VENV_DOWNSTREAM)/bin/pip install --disable-pip-version-check -q -c constraints/downstream.txt \
	  -r requirements/downstream.txt
	$(VENV_DOWNSTREAM)/bin/python tools/build_mmcv_ops.py
	touch $@

# Sphinx, mypy and the like.
$(VENV_DEV)/.installed: $(VENV)/.installed requirements/docs.txt requirements/dev.txt constraints/*.txt
	$(call on_top,$(VENV_DEV))
	$(VENV_DEV)/bin/pip install --disable-pip-version-check -q -c constraints/dev.txt \
	  -r requirements/docs.txt -r requirements/dev.txt
	touch $@

# Gradio and Playwright; Gradio wants an older Pillow than $(VENV) has.
$(VENV_APP)/.installed: $(VENV)/.installed requirements/app.txt constraints/app.txt
	$(call on_top,$(VENV_APP))
	$(VENV_APP)/bin/pip install --disable-pip-version-check -q -c constraints/app.txt \
	  -r requirements/app.txt playwright
	touch $@

python-version:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "vgg_mm needs Python 3.10 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }

clean:
	rm -rf $(VENV) $(VENV_OPENMMLAB) $(VENV_DOWNSTREAM) $(VENV_DEV) $(VENV_APP) build dist *.egg-info vgg_mm/.mim
