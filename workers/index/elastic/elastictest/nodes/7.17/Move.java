import java.io.*;
import java.util.*;
import java.util.jar.*;
import org.objectweb.asm.*;
import org.objectweb.asm.commons.*;

/**
 * Rewrites a jar made for Elasticsearch 7.10 so that it finds the classes that 7.17 has in other packages.
 * Arguments: folder of 7.17's jars, jar to rewrite, jar to write.
 */
public class Move {
  public static void main(String[] arguments) throws Exception {
    Set<String> there = new HashSet<>();
    Map<String, String> moved = new HashMap<>(); // simple name: name in one of the packages that 7.17 made
    List<File> jars = new ArrayList<>(List.of(new File(arguments[0]).listFiles((folder, name) -> name.endsWith(".jar"))));
    for (File file : jars) try (JarFile jar = new JarFile(file)) {
      for (JarEntry e : Collections.list(jar.entries())) if (e.getName().endsWith(".class")) {
        String name = e.getName().substring(0, e.getName().length() - ".class".length());
        there.add(name);
        if (name.startsWith("org/elasticsearch/xcontent/") || name.startsWith("org/elasticsearch/core/"))
          moved.put(name.substring(name.lastIndexOf('/') + 1), name);
      }
    }
    moved.put("QueryShardContext", "org/elasticsearch/index/query/SearchExecutionContext");
    Remapper to = new Remapper() {
      @Override public String map(String name) {
        if (!name.startsWith("org/elasticsearch/") || there.contains(name)) return name;
        return moved.getOrDefault(name.substring(name.lastIndexOf('/') + 1), name);
      }
    };
    try (JarFile in = new JarFile(arguments[1]); JarOutputStream out = new JarOutputStream(new FileOutputStream(arguments[2]))) {
      for (JarEntry e : Collections.list(in.entries())) {
        byte[] bytes = in.getInputStream(e).readAllBytes();
        if (e.getName().endsWith(".class")) {
          ClassWriter writer = new ClassWriter(0);
          new ClassReader(bytes).accept(new ClassRemapper(writer, to), 0);
          bytes = writer.toByteArray();
        }
        out.putNextEntry(new JarEntry(e.getName()));
        out.write(bytes);
        out.closeEntry();
      }
    }
  }
}
