package org.elasticsearch.node;

import java.nio.file.*;
import java.util.*;
import java.util.stream.Stream;
import java.util.function.*;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.elasticsearch.Build;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.*;
import org.elasticsearch.env.Environment;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.index.analysis.*;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.*;
import org.elasticsearch.rest.*;
import org.elasticsearch.transport.netty4.Netty4Plugin;
import org.elasticsearch.xcontent.XContentBuilder;

/**
 * One Elasticsearch 8.19 node on the loopback, for as long as standard input is open. Argument: its folder. It stands in
 * this package for the hooks by which a node's plugins can come from the class path.
 */
public class Node819 {
  public static void main(String[] arguments) throws Exception {
    Path home = Paths.get(arguments[0]).toAbsolutePath();
    LogConfigurator.configureESLogging();
    Settings settings = Settings.builder()
        .put("path.home", home).put("cluster.name", "test").put("node.name", "n1").put("network.host", "127.0.0.1")
        .put("http.port", "0").put("transport.port", "0").put("discovery.type", "single-node")
        .put("transport.type", "netty4").put("http.type", "netty4")
        .put("cluster.routing.allocation.disk.threshold_enabled", false).build();
    Environment environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), home.resolve("config"), () -> "n1");
    Node node = new Node(NodeConstruction.prepareConstruction(environment, null, new NodeServiceProvider() {
      @Override PluginsService newPluginService(Environment e, PluginsLoader loader) {
        return new ClassPathPlugins(e, List.of(Netty4Plugin.class, Missing.class));
      }
    }, true));
    node.start();
    System.out.println("LISTENING " + node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress());
    while (System.in.read() >= 0) { }
    node.close();
    try (Stream<Path> all = Files.walk(home)) { // a test that was killed removes nothing
      all.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    }
    System.exit(0);
  }

  /** What Elastic does not publish and the tests need: GET /, and of the analyzers the English one. */
  public static class Missing extends Plugin implements AnalysisPlugin, ActionPlugin {
    @Override public Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> getAnalyzers() {
      return Map.of("english", (index, environment, name, settings) -> new AbstractIndexAnalyzerProvider<EnglishAnalyzer>(name, settings) {
        final EnglishAnalyzer english = new EnglishAnalyzer();
        @Override public EnglishAnalyzer get() { return english; }
      });
    }

    @Override public Collection<RestHandler> getRestHandlers(Settings settings, NamedWriteableRegistry registry, RestController controller,
        ClusterSettings cluster, IndexScopedSettings scoped, SettingsFilter filter, IndexNameExpressionResolver resolver,
        Supplier<DiscoveryNodes> nodes, Predicate<NodeFeature> features) {
      return List.of(new BaseRestHandler() {
        @Override public String getName() { return "root"; }
        @Override public List<Route> routes() { return List.of(new Route(RestRequest.Method.GET, "/")); }
        @Override protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
          return channel -> {
            XContentBuilder answer = channel.newBuilder().startObject().field("name", "n1").field("cluster_name", "test")
                .startObject("version").field("number", Build.current().version()).endObject().endObject();
            channel.sendResponse(new RestResponse(RestStatus.OK, answer));
          };
        }
      });
    }
  }
}
