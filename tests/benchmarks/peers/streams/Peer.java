import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The jobs of jobs.py on Kafka Streams: Peer JOB GROUP FOLDER, settings in the environment.
 *
 * The processor API, for it is the fastest: no serde does more than hand bytes through, and JSON is read by the
 * streaming parser. Stores are persistent, cached and logged, as they are by default.
 */
public final class Peer {
  static final int KEPT = 200;
  /** How far a scan for due timers looks, at most: the cache copies the keys of the range. */
  static final long LOOK_AHEAD_MS = 60_000;
  static final JsonFactory JSON = new JsonFactory();

  /** What a job reads of an event. */
  static final class Event {
    long n;
    long at;
    int items;
    long cents;
    String type = "";
    String customer = "";

    static Event of(byte[] value) {
      Event event = new Event();
      try (JsonParser parser = JSON.createParser(value)) {
        parser.nextToken();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
          String name = parser.currentName();
          parser.nextToken();
          switch (name) {
            case "n" -> event.n = parser.getLongValue();
            case "at" -> event.at = parser.getLongValue();
            case "items" -> event.items = parser.getIntValue();
            case "cents" -> event.cents = parser.getLongValue();
            case "type" -> event.type = parser.getText();
            case "customer" -> event.customer = parser.getText();
            default -> parser.skipChildren();
          }
        }
        return event;
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
    }
  }

  static byte[] text(long first, long... others) {
    StringBuilder text = new StringBuilder().append(first);
    for (long other : others) {
      text.append(' ').append(other);
    }
    return text.toString().getBytes(StandardCharsets.US_ASCII);
  }

  /** Counts per customer. */
  static final class Counting implements Processor<byte[], byte[], byte[], byte[]> {
    private KeyValueStore<Bytes, byte[]> counts;
    private ProcessorContext<byte[], byte[]> context;

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
      counts = context.getStateStore("counts");
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      byte[] key = record.key();
      byte[] value = record.value();
      Bytes row = Bytes.wrap(key);
      byte[] before = counts.get(row);
      int count = before == null ? 1 : ByteBuffer.wrap(before).getInt() + 1;
      int kept = Math.min(KEPT, value.length);
      counts.put(row, ByteBuffer.allocate(4 + kept).putInt(count).put(value, 0, kept).array());
      if ((count + key[key.length - 1] - '0') % 10 == 0) {
        Event event = Event.of(value);
        context.forward(record.withValue(text(count, event.n, event.at)));
      }
    }
  }

  /** A basket's row: opened, due, when its timer fires (not after due), items, cents. */
  record Basket(long opened, long due, long timer, int items, long cents) {
    static Basket of(byte[] row) {
      ByteBuffer buffer = ByteBuffer.wrap(row);
      return new Basket(
          buffer.getLong(), buffer.getLong(), buffer.getLong(), buffer.getInt(), buffer.getLong());
    }

    byte[] row() {
      return ByteBuffer.allocate(36)
          .putLong(opened).putLong(due).putLong(timer).putInt(items).putLong(cents).array();
    }
  }

  /** Finds abandoned baskets; a basket's timer is set once, and again when it fires too early. */
  static final class Baskets implements Processor<byte[], byte[], byte[], byte[]> {
    private final long gap;
    private KeyValueStore<Bytes, byte[]> baskets;
    private KeyValueStore<Bytes, byte[]> timers;
    private ProcessorContext<byte[], byte[]> context;
    private long earliest = Long.MIN_VALUE;

    Baskets(long gap) {
      this.gap = gap;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
      baskets = context.getStateStore("baskets");
      timers = context.getStateStore("timers");
      context.schedule(Duration.ofMillis(Long.parseLong(System.getenv("COMMIT_MS"))), PunctuationType.STREAM_TIME, this::passed);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      Event event = Event.of(record.value());
      Bytes key = Bytes.wrap(record.key());
      byte[] row = baskets.get(key);
      Basket basket = row == null ? null : Basket.of(row);
      if (basket != null && event.at > basket.due) {
        abandoned(record.key(), basket, record.timestamp());
        timers.delete(timer(basket.timer, record.key()));
        baskets.delete(key);
        basket = null;
      }
      if (event.type.equals("Product Added")) {
        long due = event.at + gap;
        if (basket == null) {
          set(due, record.key());
          baskets.put(key, new Basket(event.at, due, due, event.items, event.cents).row());
        } else {
          baskets.put(
              key,
              new Basket(
                      basket.opened, due, basket.timer, basket.items + event.items, basket.cents + event.cents)
                  .row());
        }
      } else if (event.type.equals("Order Completed") && basket != null) {
        timers.delete(timer(basket.timer, record.key()));
        baskets.delete(key);
      }
    }

    /** Fires what stream time has passed; most of the time that is one comparison. */
    private void passed(long now) {
      if (earliest >= now) {
        return;
      }
      // From the earliest on: below it lie the tombstones of what has fired, which a scan would step over one by one.
      Bytes from = timer(Math.max(0, earliest), new byte[0]);
      Bytes to = timer(now + LOOK_AHEAD_MS, new byte[0]);
      earliest = now + LOOK_AHEAD_MS;
      long again = Long.MAX_VALUE;
      try (KeyValueIterator<Bytes, byte[]> rows = timers.range(from, to)) {
        while (rows.hasNext()) {
          Bytes timer = rows.next().key;
          ByteBuffer buffer = ByteBuffer.wrap(timer.get());
          long due = buffer.getLong();
          if (due >= now) {
            earliest = due;
            break;
          }
          byte[] customer = new byte[buffer.remaining()];
          buffer.get(customer);
          timers.delete(timer);
          again = Math.min(again, fire(customer, now));
        }
      }
      earliest = Math.min(earliest, again);
    }

    private long fire(byte[] customer, long now) {
      Bytes key = Bytes.wrap(customer);
      byte[] row = baskets.get(key);
      if (row == null) {
        return Long.MAX_VALUE;
      }
      Basket basket = Basket.of(row);
      if (basket.due >= now) {
        set(basket.due, customer);
        baskets.put(
            key, new Basket(basket.opened, basket.due, basket.due, basket.items, basket.cents).row());
        return basket.due;
      }
      abandoned(customer, basket, now);
      baskets.delete(key);
      return Long.MAX_VALUE;
    }

    private void set(long due, byte[] customer) {
      timers.put(timer(due, customer), new byte[0]);
      earliest = Math.min(earliest, due);
    }

    private static Bytes timer(long due, byte[] customer) {
      return Bytes.wrap(ByteBuffer.allocate(8 + customer.length).putLong(due).put(customer).array());
    }

    private void abandoned(byte[] customer, Basket basket, long now) {
      byte[] value = text(basket.opened, basket.due, basket.items, basket.cents);
      context.forward(new Record<>(customer, value, now));
    }
  }

  static void store(StreamsBuilder builder, String name) {
    builder.addStateStore(
        Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore(name), Serdes.Bytes(), Serdes.ByteArray())
            .withCachingEnabled()
            .withLoggingEnabled(Map.of()));
  }

  public static void main(String[] arguments) {
    String job = arguments[0];
    String group = arguments[1];
    Map<String, String> environment = System.getenv();
    var bytes = Serdes.ByteArray();
    StreamsBuilder builder = new StreamsBuilder();
    KStream<byte[], byte[]> events = builder.stream(environment.get("INPUT"), Consumed.with(bytes, bytes));
    if (job.equals("repartition")) {
      int partitions = Integer.parseInt(environment.get("PARTITIONS"));
      events =
          events
              .selectKey((key, value) -> Event.of(value).customer.getBytes(StandardCharsets.US_ASCII))
              .repartition(
                  Repartitioned.with(bytes, bytes).withName("middle").withNumberOfPartitions(partitions));
    }
    KStream<byte[], byte[]> found;
    if (job.equals("basket")) {
      long gap = Long.parseLong(environment.get("GAP_MS"));
      store(builder, "baskets");
      store(builder, "timers");
      found = events.process(() -> new Baskets(gap), "baskets", "timers");
    } else {
      store(builder, "counts");
      found = events.process(Counting::new, "counts");
    }
    found.to(group + ".output", Produced.with(bytes, bytes));

    Properties settings = new Properties();
    settings.put("application.id", group);
    settings.put("bootstrap.servers", environment.get("KAFKA_BOOTSTRAP_SERVERS"));
    settings.put("processing.guarantee", "exactly_once_v2");
    settings.put("num.stream.threads", environment.get("LANES"));
    settings.put("commit.interval.ms", environment.get("COMMIT_MS"));
    settings.put("state.dir", arguments[2]);
    settings.put("statestore.cache.max.bytes", String.valueOf(128 << 20));
    settings.put("replication.factor", "1");
    settings.put("auto.offset.reset", "earliest");
    settings.put("producer.compression.type", "lz4");
    settings.put("producer.linger.ms", "5");
    settings.put("producer.batch.size", String.valueOf(256 << 10));
    settings.put("session.timeout.ms", "10000");
    settings.put("heartbeat.interval.ms", "1500");
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          Runtime.getRuntime().halt(1);
          return null;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}
