from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('station', '0005_set_aside'),
    ]

    operations = [
        migrations.AddField(
            model_name='chargingsession',
            name='stop_requested_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
