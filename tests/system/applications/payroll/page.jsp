<%-- An old Java application: it believes X-Remote-User and its roles, and keeps the person in its session. --%>
<%@ page contentType="application/json;charset=UTF-8" trimDirectiveWhitespaces="true" %>
<%!
  private static String text(String value) {
    if (value == null) return "null";
    StringBuilder quoted = new StringBuilder("\"");
    for (char letter : value.toCharArray()) {
      boolean plain = letter >= ' ' && letter < 127 && letter != '"' && letter != '\\';
      quoted.append(plain ? String.valueOf(letter) : String.format("\\u%04x", (int) letter));
    }
    return quoted.append('"').toString();
  }
%>
<%
  String user = request.getHeader("X-Remote-User");
  // What the template says of sessions: another person ends the last one's.
  if (!session.isNew() && !java.util.Objects.equals(session.getAttribute("user"), user)) {
    session.invalidate();
    session = request.getSession(true);
  }
  session.setAttribute("user", user);
  StringBuilder fields = new StringBuilder();
  for (String value : java.util.Collections.list(request.getHeaders("X-Remote-User"))) {
    fields.append(fields.length() == 0 ? "" : ",").append(text(value));
  }
%>
{
  "user": <%= text(user) %>,
  "name": <%= text(request.getHeader("X-Remote-Name")) %>,
  "roles": <%= text(request.getHeader("X-Remote-Roles")) %>,
  "fields": [<%= fields %>],
  "session": <%= text((String) session.getAttribute("user")) %>
}
