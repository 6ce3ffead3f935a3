.PHONY: check format test figures benchmark ci

check:  ## what must be clean before a commit
	ruff check src tests
	ruff format --check src tests
	mypy src

format:  ## what check asks for, as far as a program can do it
	ruff check --fix src tests
	ruff format src tests

test:
	pytest

figures:  ## the pictures of the README
	nitido demo -o nitido-demo
	mkdir -p docs/images
	python -c "from PIL import Image; Image.open('nitido-demo/comparison.png').convert('RGB').quantize(256).save('docs/images/demo.png', optimize=True)"

benchmark:
	nitido benchmark speed

ci:  ## all of it, in fresh environments
	./.ci/run
