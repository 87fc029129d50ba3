import java.nio.file.*;
import java.util.*;
import java.util.stream.Stream;
import org.elasticsearch.analysis.common.CommonAnalysisPlugin;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.node.*;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.transport.Netty4Plugin;

/** One Elasticsearch 7.17 node on the loopback, for as long as standard input is open. Argument: its folder. */
public class Node717 {
  static class Local extends Node {
    Local(Environment e, Collection<Class<? extends Plugin>> plugins) { super(e, plugins, true); }
  }

  public static void main(String[] arguments) throws Exception {
    Path home = Paths.get(arguments[0]).toAbsolutePath();
    Settings settings = Settings.builder()
        .put("path.home", home).put("cluster.name", "test").put("node.name", "n1").put("network.host", "127.0.0.1")
        .put("http.port", "0").put("transport.port", "0").put("discovery.type", "single-node")
        .put("transport.type", "netty4").put("http.type", "netty4")
        .put("cluster.routing.allocation.disk.threshold_enabled", false).build();
    Environment environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), home.resolve("config"), () -> "n1");
    Node node = new Local(environment, List.of(Netty4Plugin.class, CommonAnalysisPlugin.class));
    node.start();
    System.out.println("LISTENING " + node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress());
    while (System.in.read() >= 0) { }
    node.close();
    try (Stream<Path> all = Files.walk(home)) { // a test that was killed removes nothing
      all.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    }
    System.exit(0);
  }
}
