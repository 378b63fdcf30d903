#!/bin/sh
# KAFKA_SOME_NAME=value becomes some.name=value, as in the image this stands in for.
set -eu
mkdir -p /var/lib/kafka
env | sed -n 's/^KAFKA_\([A-Z_]*\)=\(.*\)$/\1 \2/p' | while read -r name value; do
    printf '%s=%s\n' "$(printf %s "$name" | tr 'A-Z_' 'a-z.')" "$value"
done >/tmp/server.properties
echo 'log.dirs=/var/lib/kafka' >>/tmp/server.properties
java -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --ignore-formatted \
    -t MkU3OEVBNTcwNTJENDM2Qg -c /tmp/server.properties
exec java -Xms128m -Xmx512m -XX:+UseSerialGC -cp '/opt/kafka/libs/*' kafka.Kafka \
    /tmp/server.properties
