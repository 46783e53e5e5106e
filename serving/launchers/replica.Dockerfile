# One model environment: the replica program and the packages that the version states.
# The artefact is not in it: the launcher mounts that read-only.
ARG BASE=python:3.11-slim
FROM ${BASE}

ARG VERSION=0
LABEL org.opencontainers.image.title="leadsman-replica" \
      org.opencontainers.image.version="${VERSION}"

# All that a replica imports is compiled here: its root is read-only, so that every start would do it
# again, which is most of the time until a model answers. Slim images come without compiled files.
RUN python -m compileall -q -x '/(test|tests|lib2to3|idlelib|tkinter|turtledemo|site-packages)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY requirements.txt /opt/leadsman/requirements.txt
RUN python -m pip install --no-cache-dir --disable-pip-version-check \
        --root-user-action=ignore -r /opt/leadsman/requirements.txt
COPY serving /opt/leadsman/serving
RUN python -m compileall -q /opt/leadsman/serving

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /opt/leadsman
USER 65534:65534
ENTRYPOINT ["python", "-m", "serving.replica"]
