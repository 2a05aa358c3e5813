#!/bin/bash
# A stand-in for the script of Jupyter's images: JupyterHub's server of one user, told the rest by its environment.
exec jupyterhub-singleuser "$@"
