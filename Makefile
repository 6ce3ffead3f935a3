.PHONY: lint format test check figures benchmark ci

lint:  ## what must be clean before a commit
	ruff check conftest.py src tests lab integrations release
	ruff format --check conftest.py src tests lab integrations release
	mypy src lab/src

format:  ## what lint asks for, as far as a program can do it
	ruff check --fix conftest.py src tests lab integrations release
	ruff format conftest.py src tests lab integrations release

test:  ## the quick ones
	pytest

check: lint  ## every test: a browser, Ray, networks, processes of their own
	pytest --all

figures:  ## the pictures of the README
	nitido demo
	python -c "import nitido; nitido.restore('nitido-demo/degraded.wav').plot('nitido-demo/comparison.png', overwrite=True)"
	mkdir -p docs/images
	python -c "from PIL import Image; Image.open('nitido-demo/comparison.png').convert('RGB').quantize(256).save('docs/images/demo.png', optimize=True)"

benchmark:
	nitido-lab benchmark speed

ci:  ## all of it, in fresh environments
	./.ci/run
