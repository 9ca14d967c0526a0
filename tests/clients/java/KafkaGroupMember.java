import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A member of a consumer group: arguments are host, port, library (java or java-848), group.
 *
 * <p>Prints "GOT partition offset value" for each record that it read, and the same with "AT" when
 * its offset is committed, or with "TRIED" when it does not know whether it is. Leaves the group when it is told to stop (SIGTERM). MEMBER_SESSION_MS
 * and MEMBER_PACE_MS: how long it may be silent, and how long it rests after up to 100 records.
 */
public final class KafkaGroupMember {
    private static final String STREAM = "mqtt";

    private KafkaGroupMember() {}

    public static void main(String[] arguments) throws InterruptedException {
        AtomicBoolean stop = new AtomicBoolean();
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stop.set(true);
            try {
                main.join(5_000);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
        }));
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings(arguments))) {
            consumer.subscribe(List.of(STREAM));
            while (!stop.get()) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                if (!records.isEmpty()) {
                    take(consumer, records);
                    Thread.sleep(number("MEMBER_PACE_MS", 0));
                }
            }
        }
    }

    private static Properties settings(String[] arguments) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0] + ":" + arguments[1]);
        settings.put("group.id", arguments[3]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("max.poll.records", "100");
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        if (arguments[2].equals("java-848")) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.put("session.timeout.ms", Long.toString(number("MEMBER_SESSION_MS", 6_000)));
            settings.put("heartbeat.interval.ms", "500");
        }
        return settings;
    }

    /**
     * Commits what is at hand. A partition may be taken away by the client's own thread at any time:
     * only of what was had before and is had after it is known that nobody else had it meanwhile.
     */
    private static void take(
            KafkaConsumer<String, String> consumer, ConsumerRecords<String, String> records) {
        show("GOT", records);
        Set<TopicPartition> kept = new HashSet<>(consumer.assignment());
        Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
        for (ConsumerRecord<String, String> it : records) {
            TopicPartition place = new TopicPartition(it.topic(), it.partition());
            if (kept.contains(place)) {
                ends.put(place, new OffsetAndMetadata(it.offset() + 1));
            }
        }
        try {
            consumer.commitSync(ends);
        } catch (CommitFailedException | RetriableException error) {
            System.out.println("LOST " + error);
            show("TRIED", records);
            rewind(consumer, records);
            return;
        }
        kept.retainAll(consumer.assignment());
        for (TopicPartition place : records.partitions()) {
            show(kept.contains(place) ? "AT" : "TRIED", records.records(place));
        }
    }

    /** What it keeps through a rebalance it reads again, as it could not commit it. */
    private static void rewind(
            KafkaConsumer<String, String> consumer, ConsumerRecords<String, String> records) {
        Map<TopicPartition, Long> firsts = new HashMap<>();
        for (ConsumerRecord<String, String> it : records) {
            firsts.putIfAbsent(new TopicPartition(it.topic(), it.partition()), it.offset());
        }
        firsts.keySet().retainAll(consumer.assignment());
        try {
            firsts.forEach(consumer::seek);
        } catch (KafkaException | IllegalStateException error) {
            System.out.println("LOST all: " + error);
        }
    }

    private static void show(String word, Iterable<ConsumerRecord<String, String>> records) {
        StringBuilder lines = new StringBuilder();
        for (ConsumerRecord<String, String> it : records) {
            lines.append(word).append(' ').append(it.partition()).append(' ').append(it.offset());
            lines.append(' ').append(it.value()).append('\n');
        }
        System.out.print(lines);
        System.out.flush();
    }

    private static long number(String variable, long otherwise) {
        String value = System.getenv(variable);
        return value == null ? otherwise : Long.parseLong(value);
    }
}
