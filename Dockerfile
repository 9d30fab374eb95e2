# facegen without a GPU:
#   docker build -t facegen .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" facegen sample --seeds 0
FROM python:3.13-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir dist .

FROM python:3.13-slim
COPY --from=wheel /source/dist/ /source/constraints.txt /install/
RUN pip install --no-cache-dir --constraint /install/constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu /install/*.whl && rm -r /install
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["facegen"]
CMD ["--help"]
