/* kafka_inspect.c: see kafka_inspect.h. A consumer handle that never subscribes. */
#include "consumer/kafka_inspect.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "consumer/kafka_conf.h"

enum { TIMEOUT_MS = 5000 };

struct kafka_inspect {
    rd_kafka_t *handle;
    const struct config_values *values;
    atomic_int refused; /* the code of a refused login, told by the error callback */
    char error[KAFKA_INSPECT_ERROR_MAX];
};

bool kafka_inspect_settings(const struct config *config,
                            char error[KAFKA_INSPECT_ERROR_MAX])
{
    rd_kafka_conf_t *conf = kafka_conf_new(config, KAFKA_INSPECTOR, error);
    if (conf != NULL)
        rd_kafka_conf_destroy(conf);
    return conf != NULL;
}

const char *kafka_inspect_error(const struct kafka_inspect *inspect)
{
    return inspect->error;
}

/* A refused login never becomes an answer of a call: only this callback tells. */
static void on_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
    struct kafka_inspect *inspect = opaque;
    (void)handle;
    (void)reason;
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL)
        atomic_store(&inspect->refused, code);
}

struct kafka_inspect *kafka_inspect_open(const struct config *config,
                                         char error[KAFKA_INSPECT_ERROR_MAX])
{
    rd_kafka_conf_t *conf = kafka_conf_new(config, KAFKA_INSPECTOR, error);
    if (conf == NULL)
        return NULL;
    struct kafka_inspect *inspect = calloc(1, sizeof *inspect);
    MUST(inspect != NULL);
    inspect->values = config_values(config);
    rd_kafka_conf_set_opaque(conf, inspect);
    rd_kafka_conf_set_error_cb(conf, on_error);
    inspect->handle = kafka_handle_new(RD_KAFKA_CONSUMER, conf, error);
    if (inspect->handle != NULL)
        return inspect;
    free(inspect);
    return NULL;
}

void kafka_inspect_close(struct kafka_inspect *inspect)
{
    if (inspect == NULL)
        return;
    rd_kafka_destroy_flags(inspect->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(inspect);
}

static bool is_world(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR__TRANSPORT || err == RD_KAFKA_RESP_ERR__TIMED_OUT ||
           err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
           err == RD_KAFKA_RESP_ERR__RESOLVE || err == RD_KAFKA_RESP_ERR__WAIT_COORD ||
           err == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE ||
           err == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
           err == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
           err == RD_KAFKA_RESP_ERR_NOT_COORDINATOR ||
           err == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS ||
           err == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT;
}

static enum kafka_inspect_status judge(struct kafka_inspect *inspect, const char *what,
                                       rd_kafka_resp_err_t err)
{
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return KAFKA_INSPECT_OK;
    rd_kafka_poll(inspect->handle, 0); /* serves the error callback */
    int refused = atomic_load(&inspect->refused);
    if (refused != 0) {
        snprintf(
            inspect->error, sizeof inspect->error,
            "Kafka refuses the connection: %s; check the kafka.sasl.*, kafka.ssl.* and "
            "kafka.security.protocol settings",
            rd_kafka_err2str((rd_kafka_resp_err_t)refused));
        return KAFKA_INSPECT_REFUSED;
    }
    snprintf(inspect->error, sizeof inspect->error, "%s: %s (%s)", what,
             rd_kafka_err2str(err), rd_kafka_err2name(err));
    return is_world(err) ? KAFKA_INSPECT_UNREACHABLE : KAFKA_INSPECT_REFUSED;
}

/* --- topics --- */

static rd_kafka_resp_err_t describe_topic(struct kafka_inspect *inspect, const char *name,
                                          int32_t *partition_count)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(inspect->handle, name, NULL);
    MUST(topic != NULL);
    rd_kafka_resp_err_t err =
        rd_kafka_metadata(inspect->handle, 0, topic, &metadata, TIMEOUT_MS);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        MUST(metadata->topic_cnt == 1);
        err = metadata->topics[0].err;
        *partition_count = metadata->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(topic);
    return err;
}

enum kafka_inspect_status kafka_inspect_topic(struct kafka_inspect *inspect,
                                              const char *topic, int32_t *partition_count)
{
    rd_kafka_resp_err_t err = describe_topic(inspect, topic, partition_count);
    enum kafka_inspect_status status = judge(inspect, "Kafka cannot be asked", err);
    if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
        snprintf(inspect->error, sizeof inspect->error,
                 "the topic %s does not exist; create it, postonce never does", topic);
    if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        snprintf(inspect->error, sizeof inspect->error,
                 "this client may not describe the topic %s; grant it", topic);
    return status;
}

/* --- partitions --- */

static rd_kafka_topic_partition_list_t *list_of(const struct kafka_inspect *inspect,
                                                const struct kafka_partition *partitions,
                                                size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, inspect->values->topic_commands,
                                          partitions[i].partition)
            ->offset = partitions[i].target;
    return list;
}

static rd_kafka_resp_err_t fill_bounds(struct kafka_inspect *inspect,
                                       struct kafka_partition *partitions, size_t count)
{
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (size_t i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < count; i++)
        err = rd_kafka_query_watermark_offsets(
            inspect->handle, inspect->values->topic_commands, partitions[i].partition,
            &partitions[i].log_start, &partitions[i].log_end, TIMEOUT_MS);
    return err;
}

enum kafka_inspect_status kafka_inspect_partitions(struct kafka_inspect *inspect,
                                                   struct kafka_partition *partitions,
                                                   size_t count)
{
    rd_kafka_topic_partition_list_t *list = list_of(inspect, partitions, count);
    rd_kafka_resp_err_t err = rd_kafka_committed(inspect->handle, list, TIMEOUT_MS);
    for (size_t i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < count; i++) {
        err = list->elems[i].err;
        partitions[i].has_committed = list->elems[i].offset >= 0;
        partitions[i].committed = list->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        err = fill_bounds(inspect, partitions, count);
    return judge(inspect, "offsets cannot be read", err);
}

enum kafka_inspect_status kafka_inspect_times(struct kafka_inspect *inspect,
                                              int64_t unix_ms,
                                              struct kafka_partition *partitions,
                                              size_t count)
{
    for (size_t i = 0; i < count; i++)
        partitions[i].target = unix_ms;
    rd_kafka_topic_partition_list_t *list = list_of(inspect, partitions, count);
    rd_kafka_resp_err_t err =
        rd_kafka_offsets_for_times(inspect->handle, list, TIMEOUT_MS);
    for (size_t i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < count; i++) {
        err = list->elems[i].err;
        partitions[i].target =
            list->elems[i].offset >= 0 ? list->elems[i].offset : partitions[i].log_end;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return judge(inspect, "offsets for a time cannot be read", err);
}

/* --- the group --- */

/* Waits for the one event that an admin call answers with; NULL: none came in time. */
static rd_kafka_event_t *admin_answer(rd_kafka_queue_t *queue, rd_kafka_resp_err_t *err)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * TIMEOUT_MS);
    *err = event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event);
    return event;
}

static rd_kafka_resp_err_t count_members(rd_kafka_event_t *event, size_t *members)
{
    size_t count = 0;
    const rd_kafka_ConsumerGroupDescription_t **groups =
        rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    MUST(count == 1);
    const rd_kafka_error_t *error = rd_kafka_ConsumerGroupDescription_error(groups[0]);
    *members = rd_kafka_ConsumerGroupDescription_member_count(groups[0]);
    rd_kafka_resp_err_t err =
        error == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
    /* A group that never was has no members either (brokers from 4.0 on say so this way).
     */
    return err == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND ? RD_KAFKA_RESP_ERR_NO_ERROR : err;
}

static rd_kafka_resp_err_t ask_members(struct kafka_inspect *inspect, size_t *members)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(inspect->handle);
    const char *group = inspect->values->group;
    rd_kafka_DescribeConsumerGroups(inspect->handle, &group, 1, NULL, queue);
    rd_kafka_resp_err_t err;
    rd_kafka_event_t *event = admin_answer(queue, &err);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        err = count_members(event, members);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    return err;
}

enum kafka_inspect_status kafka_inspect_group(struct kafka_inspect *inspect,
                                              size_t *members)
{
    *members = 0;
    enum kafka_inspect_status status =
        judge(inspect, "the group cannot be described", ask_members(inspect, members));
    if (status != KAFKA_INSPECT_OK || *members == 0)
        return status;
    snprintf(inspect->error, sizeof inspect->error,
             "the group %s has %zu member(s); stop its consumers first",
             inspect->values->group, *members);
    return KAFKA_INSPECT_BUSY;
}

static rd_kafka_resp_err_t altered(rd_kafka_event_t *event)
{
    size_t count = 0;
    const rd_kafka_group_result_t **groups =
        rd_kafka_AlterConsumerGroupOffsets_result_groups(
            rd_kafka_event_AlterConsumerGroupOffsets_result(event), &count);
    MUST(count == 1);
    const rd_kafka_error_t *error = rd_kafka_group_result_error(groups[0]);
    if (error != NULL)
        return rd_kafka_error_code(error);
    const rd_kafka_topic_partition_list_t *list =
        rd_kafka_group_result_partitions(groups[0]);
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return list->elems[i].err;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t alter(struct kafka_inspect *inspect,
                                 const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_AlterConsumerGroupOffsets_t *wish =
        rd_kafka_AlterConsumerGroupOffsets_new(inspect->values->group, list);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(inspect->handle);
    rd_kafka_AlterConsumerGroupOffsets(inspect->handle, &wish, 1, NULL, queue);
    rd_kafka_resp_err_t err;
    rd_kafka_event_t *event = admin_answer(queue, &err);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        err = altered(event);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AlterConsumerGroupOffsets_destroy(wish);
    return err;
}

/* The broker itself refuses while the group has members: the last word is not ours. */
enum kafka_inspect_status kafka_inspect_move(struct kafka_inspect *inspect,
                                             const struct kafka_partition *partitions,
                                             size_t count)
{
    rd_kafka_topic_partition_list_t *list = list_of(inspect, partitions, count);
    rd_kafka_resp_err_t err = alter(inspect, list);
    rd_kafka_topic_partition_list_destroy(list);
    enum kafka_inspect_status status = judge(inspect, "offsets cannot be moved", err);
    if (err != RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID &&
        err != RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP)
        return status;
    snprintf(inspect->error, sizeof inspect->error,
             "the group %s has members; stop its consumers first",
             inspect->values->group);
    return KAFKA_INSPECT_BUSY;
}
