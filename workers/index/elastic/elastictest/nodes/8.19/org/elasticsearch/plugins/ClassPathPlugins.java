package org.elasticsearch.plugins;

import java.util.*;
import org.elasticsearch.action.admin.cluster.node.info.PluginsAndModules;
import org.elasticsearch.env.Environment;

/** Plugins from the class path. It stands in this package because LoadedPlugin is its own. */
public class ClassPathPlugins extends PluginsService {
  private final List<LoadedPlugin> loaded = new ArrayList<>();

  public ClassPathPlugins(Environment environment, Collection<Class<? extends Plugin>> classes) {
    super(environment.settings(), environment.configDir(), new PluginsLoader(Set.of(), Set.of(), Map.of()));
    for (Class<? extends Plugin> c : classes) {
      PluginDescriptor descriptor = new PluginDescriptor(c.getSimpleName(), "class path", "1", "8", "17", c.getName(), null, List.of(), false, false, false, false);
      loaded.add(new LoadedPlugin(descriptor, loadPlugin(c, environment.settings(), environment.configDir()), getClass().getClassLoader()));
    }
    loadExtensions(loaded);
  }

  @Override protected List<LoadedPlugin> plugins() { return loaded == null ? List.of() : loaded; } // asked before it is made
  @Override public PluginsAndModules info() { return new PluginsAndModules(List.of(), List.of()); }
}
