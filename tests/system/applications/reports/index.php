<?php
// An old report in PHP that knows REMOTE_USER, groups in a header, and a session of its own.

session_start();
$told = array_filter($_SERVER, fn ($name) => str_starts_with($name, 'HTTP_X_'), ARRAY_FILTER_USE_KEY);
$user = $_SERVER['REMOTE_USER'] ?? null;
// What the template says of sessions: their person is compared with the one of the request.
if (($_SESSION['user'] ?? $user) !== $user) {
    session_unset();
}
$_SESSION['user'] = $user;
$_SESSION['pages'] = ($_SESSION['pages'] ?? 0) + 1;

header('Content-Type: application/json');
echo json_encode([
    'user' => $user,
    'name' => rawurldecode($_SERVER['HTTP_X_REMOTE_NAME'] ?? ''),
    'groups' => array_filter(explode(';', $_SERVER['HTTP_X_REMOTE_GROUPS'] ?? '')),
    'pages' => $_SESSION['pages'],
    'told' => $told,
]);
