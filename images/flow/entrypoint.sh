#!/bin/sh
# What Kubernetes starts in a pod of this image. Spark asks for its executors with the one argument `executor`
# and tells them the rest by SPARK_* variables; anything else is a command.
set -eu
if [ "${1:-}" != executor ]; then
    exec /usr/bin/tini -- "$@"
fi
# Spark copies its jars and files to the working directory.
cd "$(mktemp -d)"
# SPARK_JAVA_OPT_0, _1, ...: options, one a variable, that may hold spaces.
count=0
set --
while eval "[ -n \"\${SPARK_JAVA_OPT_$count+set}\" ]"; do
    eval "set -- \"\$@\" \"\$SPARK_JAVA_OPT_$count\""
    count=$((count + 1))
done
exec /usr/bin/tini -- "$JAVA_HOME/bin/java" "$@" \
    "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -cp "${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" \
    --executor-id "$SPARK_EXECUTOR_ID" \
    --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" \
    --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
    --podName "$SPARK_EXECUTOR_POD_NAME"
