# The page of nitido on a CPU: docker build -t nitido . && docker run --rm -p 7860:7860 nitido
# With a password: docker run --rm -p 7860:7860 -e NITIDO_AUTH=ann:secret nitido
FROM python:3.12-slim-bookworm AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src ./src
RUN python -m venv /opt/nitido \
    && /opt/nitido/bin/pip install --no-cache-dir -c constraints.txt '.[web,m4a]'

FROM python:3.12-slim-bookworm
COPY --from=build /opt/nitido /opt/nitido
RUN useradd --create-home --uid 10001 nitido
USER 10001
WORKDIR /home/nitido
ENV PATH=/opt/nitido/bin:$PATH \
    PYTHONUNBUFFERED=1
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
ENTRYPOINT ["nitido", "serve", "--host", "0.0.0.0"]
CMD ["--port", "7860"]
