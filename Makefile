.PHONY: check format test figures benchmark ci

check:  ## what must be clean before a commit
	ruff check src tests lab
	ruff format --check src tests lab
	mypy src lab/src

format:  ## what check asks for, as far as a program can do it
	ruff check --fix src tests lab
	ruff format src tests lab

test:
	pytest

figures:  ## the pictures of the README
	nitido demo -o nitido-demo
	mkdir -p docs/images
	python -c "from PIL import Image; Image.open('nitido-demo/comparison.png').convert('RGB').quantize(256).save('docs/images/demo.png', optimize=True)"

benchmark:
	nitido-lab benchmark speed

ci:  ## all of it, in fresh environments
	./.ci/run
