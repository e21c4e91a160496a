import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes events at a steady rate, as they happen: Live TOPIC TEMPLATES RATE SECONDS.
 *
 * A template is a line "key TAB rest of the value"; an event's number and time are put in front. In Java, for half of
 * what a system can take is more than a Python producer writes without taking a core that the system needs.
 */
public final class Live {
  public static void main(String[] arguments) throws Exception {
    String topic = arguments[0];
    List<String> lines = Files.readAllLines(Path.of(arguments[1]), StandardCharsets.US_ASCII);
    double rate = Double.parseDouble(arguments[2]);
    double seconds = Double.parseDouble(arguments[3]);
    byte[][] keys = new byte[lines.size()][];
    String[] rests = new String[lines.size()];
    for (int i = 0; i < keys.length; i++) {
      String[] parts = lines.get(i).split("\t", 2);
      keys[i] = parts[0].getBytes(StandardCharsets.US_ASCII);
      rests[i] = parts[1];
    }
    Properties settings = new Properties();
    settings.put("bootstrap.servers", System.getenv("KAFKA_BOOTSTRAP_SERVERS"));
    settings.put("key.serializer", ByteArraySerializer.class.getName());
    settings.put("value.serializer", ByteArraySerializer.class.getName());
    settings.put("compression.type", "lz4");
    settings.put("linger.ms", "5");
    settings.put("batch.size", "131072");
    settings.put("buffer.memory", "134217728");
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
      producer.partitionsFor(topic);
      System.out.println("began " + System.currentTimeMillis());
      System.out.flush();
      long sent = 0;
      long started = System.nanoTime();
      double passed;
      while ((passed = (System.nanoTime() - started) / 1e9) < seconds) {
        long due = (long) (passed * rate);
        long now = System.currentTimeMillis();
        for (; sent < due; sent++) {
          int at = (int) (sent % keys.length);
          String value = "{\"n\":" + sent + ",\"at\":" + now + rests[at];
          producer.send(
              new ProducerRecord<>(
                  topic, null, now, keys[at], value.getBytes(StandardCharsets.US_ASCII)));
        }
        Thread.sleep(2);
      }
    }
  }
}
