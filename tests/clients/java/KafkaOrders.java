import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Does what it is told and says what came of it: arguments are host, port, settings
 * ({@code name=value}), {@code --} and orders.
 *
 * <p>Orders: {@code write:stream:key:value}, {@code read:stream:count},
 * {@code group:name:stream:count}, {@code list}. Each says "WROTE", "GOT key value" so often,
 * "TOPICS ..." or "REFUSED why".
 */
public final class KafkaOrders {
    private KafkaOrders() {}

    public static void main(String[] arguments) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0] + ":" + arguments[1]);
        settings.put("max.block.ms", "60000");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        int at = 2;
        for (; !arguments[at].equals("--"); at++) {
            int end = arguments[at].indexOf('=');
            settings.put(arguments[at].substring(0, end), arguments[at].substring(end + 1));
        }
        for (String order : List.of(arguments).subList(at + 1, arguments.length)) {
            try {
                carryOut(order.split(":"), settings);
            } catch (KafkaException | ExecutionException | InterruptedException error) {
                System.out.println("REFUSED " + word(error));
            }
        }
    }

    /** The innermost name that Kafka gave it. */
    private static String word(Throwable error) {
        Throwable cause = error;
        while (cause.getCause() instanceof KafkaException) {
            cause = cause.getCause();
        }
        return cause.getClass().getSimpleName() + " " + cause.getMessage().replace('\n', ' ');
    }

    private static void carryOut(String[] order, Properties settings)
            throws ExecutionException, InterruptedException {
        switch (order[0]) {
            case "write" -> write(order[1], order[2], order[3], settings);
            case "read" -> read(order[1], Integer.parseInt(order[2]), settings);
            case "group" -> group(order[1], order[2], Integer.parseInt(order[3]), settings);
            case "list" -> list(settings);
            default -> throw new IllegalArgumentException(order[0]);
        }
    }

    private static void write(String stream, String key, String value, Properties settings)
            throws ExecutionException, InterruptedException {
        StringSerializer text = new StringSerializer();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, text, text)) {
            producer.send(new ProducerRecord<>(stream, key, value)).get();
            System.out.println("WROTE");
        }
    }

    private static void read(String stream, int count, Properties settings) {
        try (KafkaConsumer<String, String> consumer = consumer(settings)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (PartitionInfo partition : consumer.partitionsFor(stream)) {
                partitions.add(new TopicPartition(stream, partition.partition()));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            drain(consumer, count);
        }
    }

    private static void group(String name, String stream, int count, Properties settings) {
        Properties own = new Properties();
        own.putAll(settings);
        own.put("group.id", name);
        try (KafkaConsumer<String, String> consumer = consumer(own)) {
            consumer.subscribe(List.of(stream));
            drain(consumer, count);
            consumer.commitSync();
        }
    }

    private static void list(Properties settings) {
        try (KafkaConsumer<String, String> consumer = consumer(settings)) {
            List<String> names = new ArrayList<>(consumer.listTopics().keySet());
            names.sort(null);
            System.out.println("TOPICS " + String.join(" ", names));
        }
    }

    private static KafkaConsumer<String, String> consumer(Properties settings) {
        StringDeserializer text = new StringDeserializer();
        return new KafkaConsumer<>(settings, text, text);
    }

    private static void drain(KafkaConsumer<String, String> consumer, int count) {
        int found = 0;
        while (found < count) {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                System.out.println("GOT " + record.key() + " " + record.value());
                found++;
            }
        }
    }
}
