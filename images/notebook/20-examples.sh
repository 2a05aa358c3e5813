#!/bin/bash
# Run by the base image's start script before the server: the examples are in each user's home, once.
examples="/home/${NB_USER:-jovyan}/examples"
if [ ! -e "$examples" ]; then
    cp -r /opt/slipway/examples "$examples"
    if [ "$(id -u)" = 0 ]; then
        chown -R "${NB_UID}:${NB_GID}" "$examples"
    fi
fi
