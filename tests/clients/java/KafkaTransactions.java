import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordBatchTooLargeException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Transactions whose broker is killed: arguments are host, port and a folder.
 *
 * <p>Prints "HELD moment" when a transaction holds a record, and goes on when the folder has a file
 * of that name: the broker was killed and started again meanwhile. The moment is what comes next.
 * At the end "FOUND value" for each record there is.
 */
public final class KafkaTransactions {
    private static final String STREAM = "mqtt";
    private static final String[] MOMENTS = {"commit", "send", "offsets", "abort"};

    private KafkaTransactions() {}

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0] + ":" + arguments[1]);
        settings.put("reconnect.backoff.max.ms", "500");
        KafkaProducer<String, String> producer = begin(settings);
        for (String moment : MOMENTS) {
            producer.beginTransaction();
            check(!send(producer, "lost").hasOffset(), "it has no place before the commit");
            System.out.println("HELD " + moment);
            Path again = Path.of(arguments[2], moment);
            while (!Files.exists(again)) {
                Thread.sleep(20);
            }
            check(!endsWell(producer, moment), "what is lost cannot be committed");
            producer.abortTransaction();
            producer.beginTransaction();
            send(producer, "after " + moment);
            offsets(producer);
            producer.commitTransaction();
        }
        fence(producer, settings);
        outgrow(settings);
        show(settings);
    }

    private static KafkaProducer<String, String> begin(Properties common) {
        Properties settings = new Properties();
        settings.putAll(common);
        settings.put("transactional.id", "java");
        StringSerializer text = new StringSerializer();
        KafkaProducer<String, String> producer = new KafkaProducer<>(settings, text, text);
        producer.initTransactions();
        return producer;
    }

    private static RecordMetadata send(KafkaProducer<String, String> producer, String value)
            throws Exception {
        return producer.send(new ProducerRecord<>(STREAM, "java/1", value)).get();
    }

    private static void offsets(KafkaProducer<String, String> producer) {
        Map<TopicPartition, OffsetAndMetadata> offsets =
                Map.of(new TopicPartition(STREAM, 0), new OffsetAndMetadata(0));
        producer.sendOffsetsToTransaction(offsets, new ConsumerGroupMetadata("java"));
    }

    private static boolean endsWell(KafkaProducer<String, String> producer, String moment) {
        try {
            switch (moment) {
                case "abort" -> {
                    return false;
                }
                case "send" -> send(producer, "lost too");
                case "offsets" -> offsets(producer);
                default -> { }
            }
            producer.commitTransaction();
            return true;
        } catch (Exception error) {
            System.out.println("TOLD " + moment + " " + error);
            return false;
        }
    }

    private static void fence(KafkaProducer<String, String> first, Properties settings)
            throws Exception {
        first.beginTransaction();
        send(first, "of the first");
        KafkaProducer<String, String> second = begin(settings);
        try {
            first.commitTransaction();
            check(false, "it is fenced");
        } catch (ProducerFencedException expected) {
            first.close(Duration.ZERO);
        }
        second.beginTransaction();
        send(second, "of the second");
        second.commitTransaction();
        second.close();
    }

    /** More than a transaction may hold, several batches at once: it is refused, and the next is not. */
    private static void outgrow(Properties settings) throws Exception {
        try (KafkaProducer<String, String> producer = begin(settings)) {
            producer.beginTransaction();
            String large = "x".repeat(900_000);
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            try {
                for (int n = 0; n < 20; n++) {
                    sent.add(producer.send(new ProducerRecord<>(STREAM, "java/1", large)));
                }
                producer.commitTransaction();
                check(false, "it is too large");
            } catch (KafkaException expected) {
                producer.abortTransaction();
            }
            List<Throwable> why = new ArrayList<>();
            for (Future<RecordMetadata> it : sent) {
                try {
                    it.get();
                } catch (ExecutionException error) {
                    why.add(error.getCause());
                }
            }
            check(why.stream().anyMatch(it -> it instanceof RecordBatchTooLargeException), "" + why);
            producer.beginTransaction();
            send(producer, "behind what was too large");
            producer.commitTransaction();
        }
    }

    private static void show(Properties settings) {
        StringDeserializer text = new StringDeserializer();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings, text, text)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (PartitionInfo it : consumer.partitionsFor(STREAM)) {
                partitions.add(new TopicPartition(STREAM, it.partition()));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(it -> consumer.position(it) < ends.get(it))) {
                for (ConsumerRecord<String, String> it : consumer.poll(Duration.ofMillis(200))) {
                    System.out.println("FOUND " + it.value());
                }
            }
        }
    }

    private static void check(boolean holds, String claim) {
        if (!holds) {
            throw new AssertionError(claim);
        }
    }
}
