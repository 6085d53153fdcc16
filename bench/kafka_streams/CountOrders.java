// Kafka Streams with the bench's workload: numbers each order's records once, one event a record.

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Base64;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

public final class CountOrders implements Processor<String, byte[], String, byte[]> {
    public record Message(String eventId, String eventType, String orderId, String padding) {}

    public record Order(int number, String last, String ids) {}

    public record Event(String eventId, String eventType, String orderId, int number, String padding) {}

    private static final String STORE = "orders";
    private static final int REMEMBERED = 64;
    private static final int TOKEN_CHARS = 12;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final ObjectReader MESSAGES = JSON.readerFor(Message.class);
    private static final ObjectReader ORDERS = JSON.readerFor(Order.class);
    private static final ObjectWriter WRITER = JSON.writer();

    private final MessageDigest sha1 = sha1();
    private final byte[] namespace = bytes(UUID.fromString(System.getenv("BENCH_NAMESPACE")));
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> orders;

    @Override
    public void init(ProcessorContext<String, byte[]> given) {
        context = given;
        orders = given.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        try {
            Message message = MESSAGES.readValue(record.value());
            byte[] stored = orders.get(record.key());
            Order known = stored == null ? new Order(0, "", "") : ORDERS.readValue(stored);
            String token = token(message.eventId());
            if (known.ids().contains(token)) {
                return;
            }
            String ids = known.ids() + token;
            ids = ids.substring(Math.max(0, ids.length() - REMEMBERED * TOKEN_CHARS));
            Order order = new Order(known.number() + 1, message.eventType(), ids);
            orders.put(record.key(), WRITER.writeValueAsBytes(order));
            String id = eventId(message.eventId());
            Event event = new Event(id, "ORDER_CREATED", message.orderId(), order.number(), message.padding());
            context.forward(record.withValue(WRITER.writeValueAsBytes(event)));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** 64 bits of an id's hash in 12 characters, the last of them "=" and no other, as models/ids.py has it. */
    private String token(String id) {
        byte[] hash = sha1.digest(id.getBytes(StandardCharsets.UTF_8));
        return Base64.getEncoder().encodeToString(Arrays.copyOf(hash, 8));
    }

    /** The UUID of version 5 that models/ids.py derives: java.util.UUID makes version 3 alone. */
    private String eventId(String inputId) {
        sha1.update(namespace);
        byte[] hash = sha1.digest(("bench\u001f" + inputId + "\u001f1").getBytes(StandardCharsets.UTF_8));
        ByteBuffer bits = ByteBuffer.wrap(hash);
        long high = bits.getLong() & ~0xF000L | 0x5000L;
        long low = bits.getLong() & ~(0xCL << 60) | 0x8L << 60;
        return new UUID(high, low).toString();
    }

    private static byte[] bytes(UUID id) {
        ByteBuffer buffer = ByteBuffer.allocate(16).putLong(id.getMostSignificantBits());
        return buffer.putLong(id.getLeastSignificantBits()).array();
    }

    private static MessageDigest sha1() {
        try {
            return MessageDigest.getInstance("SHA-1");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    private static Topology topology(boolean cached) {
        StoreBuilder<KeyValueStore<String, byte[]>> store = Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore(STORE), Serdes.String(), Serdes.ByteArray());
        store = cached ? store.withCachingEnabled() : store.withCachingDisabled();
        var strings = Serdes.String();
        var byteArrays = Serdes.ByteArray();
        return new Topology()
            .addSource("in", strings.deserializer(), byteArrays.deserializer(), System.getenv("BENCH_INPUT"))
            .addProcessor("count", CountOrders::new, "in")
            .addStateStore(store, "count")
            .addSink("out", System.getenv("BENCH_SINK"), strings.serializer(), byteArrays.serializer(), "count");
    }

    public static void main(String[] arguments) throws InterruptedException {
        Map<String, String> given = System.getenv();
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, given.get("BENCH_GROUP"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("BENCH_BOOTSTRAP"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, given.get("BENCH_DIR"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        long commitMs = Math.round(1000 * Double.parseDouble(given.get("BENCH_COMMIT_S")));
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitMs);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), given.get("BENCH_SESSION_MS"));

        Topology topology = topology("cached".equals(given.get("BENCH_MODE")));
        KafkaStreams streams = new KafkaStreams(topology, settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            ended.countDown();
        }));
        streams.start();
        ended.await();
    }
}
