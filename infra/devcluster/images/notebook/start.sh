#!/bin/bash
# A stand-in for the start script of Jupyter's images, of the development cluster: it makes the account that NB_USER
# names, gives it its home, runs the hooks, and goes on as that account without any right of root's.
set -e
command=("$@")
[ $# -gt 0 ] || command=(bash)

hooks() {
    for hook in /usr/local/bin/"$1".d/*.sh; do
        if [ -f "$hook" ]; then source "$hook"; fi
    done
}

if [ "$(id -u)" != 0 ]; then
    hooks before-notebook
    exec "${command[@]}"
fi
home="/home/$NB_USER"
if [ "$NB_USER" != jovyan ]; then
    usermod --login "$NB_USER" --home "$home" jovyan
    [ -e "$home" ] || cp -a /home/jovyan "$home"
fi
if [ "$CHOWN_HOME" = yes ] || [ "$CHOWN_HOME" = 1 ]; then
    chown "$NB_UID:$NB_GID" "$home"
fi
cd "$home"
hooks before-notebook
export HOME="$home" USER="$NB_USER" LOGNAME="$NB_USER"
exec setpriv --reuid "$NB_UID" --regid "$NB_GID" --init-groups --inh-caps=-all "${command[@]}"
